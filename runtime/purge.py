"""Remove every container and network of an instance; the controller must not run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.settings import RuntimeSettings

GRACE = 10.0
"""Seconds that replicas have to end by themselves; nothing is sent to them any more."""


def purge(settings: RuntimeSettings) -> int:
    """Gives the number of containers that were removed; 0 too where the engine does not answer any more."""
    try:
        engine = Engine(settings.engine, settings.instance)
    except EngineError:
        return 0
    try:
        found = engine.containers()

        def end(container_id: str) -> None:
            engine.stop(container_id, GRACE)
            engine.remove(container_id)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(end, [facts.id for facts in found]))
        engine.remove_networks()
    finally:
        engine.close()
    return len(found)

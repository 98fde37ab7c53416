"""An instance's controller as a process: one at a time, and the end of all that it made."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runtime.balancer.balancer import Balancer
from runtime.balancer.counters import Counters
from runtime.controller import COUNTERS_NOTE, Controller
from runtime.engine import Engine
from runtime.errors import Conflict
from runtime.server import ControllerServer
from runtime.settings import RuntimeSettings
from runtime.store import Store

log = logging.getLogger(__name__)

PURGE_GRACE = 10.0


def run_controller(settings: RuntimeSettings) -> None:
    """Be the controller until SIGTERM or SIGINT, and then stop no replica.

    Raises Conflict ``controller-running`` where there is one already.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with _only_one(settings.lock), contextlib.closing(Store(settings.store)) as store:
        engine = Engine(settings.engine)
        saved = store.note(COUNTERS_NOTE)
        balancer = Balancer(settings, Counters.from_json(saved) if saved else Counters())
        controller = Controller(settings, store, engine, balancer)
        server = ControllerServer(settings.socket, controller)
        server.start()
        controller.start()
        log.info("controller started", extra={"instance": settings.instance})
        stopping.wait()
        server.close()
        controller.stop()
        engine.close()


def purge(settings: RuntimeSettings) -> int:
    """Stop and remove every container and network of the instance, and forget what should run.

    Returns the number of containers. Raises Conflict ``controller-running`` while a controller would start them again.
    """
    with _only_one(settings.lock):
        engine = Engine(settings.engine)
        try:
            containers = engine.owned(settings.instance)

            def end(container_id: str) -> None:
                engine.stop(container_id, PURGE_GRACE)
                engine.remove(container_id)

            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(end, containers))
            for name in engine.networks(settings.instance):
                engine.remove_network(name, settings.instance)
        finally:
            engine.close()
        for suffix in ("", "-wal", "-shm"):
            settings.store.with_name(settings.store.name + suffix).unlink(missing_ok=True)
        return len(containers)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "controller-running", str(path), "a controller of this instance is running", hint="imageforge down"
            ) from error
        yield
    finally:
        os.close(handle)

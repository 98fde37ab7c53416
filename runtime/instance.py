"""An instance's controller as a process: one at a time, and the end of all that it made."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runtime.balancer.balancer import Balancer
from runtime.balancer.counters import Counters
from runtime.controller import COUNTERS_NOTE, Controller
from runtime.engine import Engine
from runtime.errors import Conflict
from runtime.labels import Label
from runtime.parts import Parts
from runtime.pod_group import PodGroups
from runtime.secret_files import SecretFiles
from runtime.server import ControllerServer
from runtime.settings import RuntimeSettings
from runtime.store import Store

log = logging.getLogger(__name__)

PURGE_GRACE = 10.0


def run_controller(settings: RuntimeSettings) -> None:
    """Be the controller until SIGTERM or SIGINT, and then stop no replica.

    Raises Conflict ``controller-running`` where there is one already.
    """
    with (
        _end_signal() as wait_for_end,
        _only_one(settings.lock),
        contextlib.closing(Store(settings.store)) as store,
    ):
        engine = Engine(settings.engine)
        saved = store.note(COUNTERS_NOTE)
        balancer = Balancer(settings, Counters.from_json(saved) if saved else Counters())
        controller = Controller(settings, store, engine, balancer)
        server = ControllerServer(settings.socket, controller)
        server.start()
        controller.start()
        log.info("controller started", extra={"instance": settings.instance})
        wait_for_end()
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
            for volume, labels in engine.volumes(settings.instance).items():
                # A claim's stays: nobody asked for its data to go.
                if Label.REPLICA in labels:
                    engine.remove_volume(volume, settings.instance)
            for name in engine.networks(settings.instance):
                engine.remove_network(name, settings.instance)
        finally:
            engine.close()
        clear_secret_files(settings)
        PodGroups(settings.instance, settings.engine, engine.machine).sweep(())
        return len(containers)


def clear_secret_files(settings: RuntimeSettings) -> None:
    """Remove the Secrets that containers saw as files, and the parts of volumes; no container of the instance may be
    running."""
    try:
        Parts(settings.parts, settings.engine).clear()
    finally:
        # Whatever else stays.
        SecretFiles(settings.secret_files, settings.engine).clear()


@contextlib.contextmanager
def _end_signal() -> Iterator[Callable[[], None]]:
    """A function that returns with the first SIGTERM or SIGINT, also one that came before the call.

    A signal that arrives just before the main thread blocks on a lock does not wake it; a byte in a socket does.
    """
    wake, woken = socket.socketpair()
    with wake, woken:
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        yield lambda: _receive(woken)
        signal.set_wakeup_fd(-1)


def _receive(woken: socket.socket) -> None:
    woken.recv(1)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    # Only here: a client on Windows has it not, and never gets so far.
    import fcntl  # noqa: PLC0415

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

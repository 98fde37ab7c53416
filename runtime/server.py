"""The controller's socket: one thread a connection, one request each."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtime import protocol
from runtime.controller import Controller
from runtime.errors import ManifestError, RuntimeFailure
from runtime.manifest import load
from runtime.manifest.model import RESTARTED_ANNOTATION
from runtime.model import LogLine

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
"""The longest pause between two statuses that a watcher gets."""


class ControlServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves one controller on a socket of mode 0600."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: Path, controller: Controller) -> None:
        self.controller = controller
        # We hold the controller's lock, so a socket that is there belongs to nobody.
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)
        finally:
            os.umask(before)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that left is no error."""
        log.debug("a client left", exc_info=True)


class _Handler(socketserver.StreamRequestHandler):
    server: ControlServer

    def handle(self) -> None:
        line = self.rfile.readline(protocol.LONGEST_LINE)
        if not line:
            return
        try:
            request = json.loads(line)
            if request.get("v") != protocol.VERSION:
                raise RuntimeFailure(
                    "version-differs",
                    "controller",
                    f"it speaks version {protocol.VERSION} of its protocol, you {request.get('v')}",
                    hint="imageforge down, then imageforge up",
                )
            verb = VERBS.get(str(request.get("verb")))
            if verb is None:
                raise RuntimeFailure("unknown-verb", str(request.get("verb")), "the controller has no such verb")
            for answer in verb(self.server.controller, **request.get("args", {})):
                self.wfile.write(protocol.item(answer))
            self.wfile.write(protocol.encode({"end": True}))
        except RuntimeFailure as error:
            self.wfile.write(protocol.failure(error))
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:
            log.exception("a request failed")
            self.wfile.write(protocol.failure(RuntimeFailure("internal", "controller", f"{error!r}")))


def _info(controller: Controller) -> Iterator[Any]:
    yield controller.info()


def _apply(controller: Controller, manifests: str, source: str) -> Iterator[Any]:
    yield from controller.apply(load(manifests, source))


def _deployments(controller: Controller, namespace: str | None) -> Iterator[Any]:
    yield from controller.statuses(namespace)


def _deployment(controller: Controller, namespace: str, name: str) -> Iterator[Any]:
    yield controller.status(namespace, name)


def _watch(controller: Controller, namespace: str, name: str, timeout: float | None) -> Iterator[Any]:
    deadline = None if timeout is None else time.monotonic() + timeout
    version = -1
    while not controller.stopped and (deadline is None or time.monotonic() < deadline):
        yield controller.status(namespace, name)
        version = controller.wait_change(version, WATCH_SECONDS)


def _scale(controller: Controller, namespace: str, name: str, replicas: int) -> Iterator[Any]:
    if replicas < 0:
        raise ManifestError("wrong-value", f"{namespace}/{name}", f"{replicas} replicas", hint="0 or more")

    def edit(data: dict[str, Any]) -> None:
        data["spec"]["replicas"] = replicas

    controller.change(namespace, name, edit)
    yield True


def _restart(controller: Controller, namespace: str, name: str) -> Iterator[Any]:
    def edit(data: dict[str, Any]) -> None:
        metadata = data["spec"]["template"].setdefault("metadata", {})
        annotations = metadata.setdefault("annotations", {})
        annotations[RESTARTED_ANNOTATION] = datetime.now(UTC).isoformat()

    controller.change(namespace, name, edit)
    yield True


def _delete(controller: Controller, namespace: str, kind: str, name: str) -> Iterator[Any]:
    controller.delete(kind, namespace, name)
    yield True


def _counters(controller: Controller, namespace: str, service: str) -> Iterator[Any]:
    yield controller.counters(namespace, service)


def _manifest(controller: Controller, namespace: str, name: str) -> Iterator[Any]:
    yield controller.manifest(namespace, name)


def _logs(controller: Controller, namespace: str, name: str, follow: bool, tail: int | None) -> Iterator[Any]:
    controller.status(namespace, name)
    if not follow:
        lines = [
            LogLine(replica=replica, text=text, stream=stream, at=at)
            for replica, container in sorted(controller.containers_of(namespace, name).items())
            for stream, at, text in controller.engine.output(container, follow=False, tail=tail, closing=lambda _: None)
        ]
        yield from sorted(lines, key=lambda line: line.at)
        return
    yield from _follow(controller, namespace, name, tail)


def _follow(controller: Controller, namespace: str, name: str, tail: int | None) -> Iterator[LogLine]:
    """Lines as they come, of the replicas that run and of those that come later."""
    lines: queue.SimpleQueue[LogLine] = queue.SimpleQueue()
    closers: list[Callable[[], None]] = []
    reading: set[str] = set()

    def read(replica: str, container: str) -> None:
        for stream, at, text in controller.engine.output(container, follow=True, tail=tail, closing=closers.append):
            lines.put(LogLine(replica=replica, text=text, stream=stream, at=at))

    try:
        while not controller.stopped:
            for replica, container in controller.containers_of(namespace, name).items():
                if container not in reading:
                    reading.add(container)
                    threading.Thread(target=read, args=(replica, container), daemon=True).start()
            with contextlib.suppress(queue.Empty):
                yield lines.get(timeout=0.5)
                while True:
                    yield lines.get_nowait()
    finally:
        for close in closers:
            close()


VERBS: dict[str, Callable[..., Iterator[Any]]] = {
    "info": _info,
    "apply": _apply,
    "deployments": _deployments,
    "deployment": _deployment,
    "watch": _watch,
    "scale": _scale,
    "restart": _restart,
    "delete": _delete,
    "counters": _counters,
    "manifest": _manifest,
    "logs": _logs,
}

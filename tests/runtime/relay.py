"""A socket in front of the engine's that can be cut: an engine that goes away, without stopping one."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path


class Relay:
    """Passes bytes both ways between callers of `path` and the engine."""

    def __init__(self, path: Path, engine: str) -> None:
        assert engine.startswith("unix://"), "the relay speaks to an engine on a Unix socket"
        self.path = path
        self._engine = engine.removeprefix("unix://")
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Relay:
        self.restore()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def restore(self) -> None:
        """Listen."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._spawn(self._accept, self._listener)

    def cut(self) -> None:
        """Close the listener and every connection."""
        if self._listener is None:
            return
        with self._lock:
            for connection in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._listener.close()
        self._listener = None
        self.path.unlink()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(self._engine)
            with self._lock:
                self._open |= {caller, engine}
            self._spawn(self._carry, caller, engine)

    def _carry(self, caller: socket.socket, engine: socket.socket) -> None:
        back = threading.Thread(target=_pump, args=(engine, caller))
        back.start()
        _pump(caller, engine)
        back.join()
        with self._lock:
            self._open -= {caller, engine}
        caller.close()
        engine.close()

    def _spawn(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

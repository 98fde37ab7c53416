"""A socket in front of the engine that can be cut, as an engine that dies is: at once, for everybody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from builders import Endpoint


class EngineProxy:
    """Passes bytes on between its own socket at `path` and the engine's, until `cut`."""

    def __init__(self, path: Path, engine: str) -> None:
        self.endpoint = Endpoint(host=f"unix://{path}", origin="test proxy")
        self._engine = engine.removeprefix("unix://")
        self._path = path
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(32)
        self._run(self._accept)

    def cut(self) -> None:
        """Ends every connection, and answers no more."""
        with self._lock:
            self._path.unlink(missing_ok=True)
            for connection in (self._listener, *self._open):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        for thread in self._threads:
            thread.join()
        for connection in (self._listener, *self._open):
            connection.close()

    def _run(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            with self._lock:
                self._open += [client, engine]
            engine.connect(self._engine)
            self._run(_pass_on, client, engine)
            self._run(_pass_on, engine, client)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def engine_proxy(folder: Path, engine: str) -> Iterator[EngineProxy]:
    proxy = EngineProxy(folder / "proxy.sock", engine)
    try:
        yield proxy
    finally:
        proxy.close()

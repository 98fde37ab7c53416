"""A proxy on loopback before a real registry, which does to requests what networks and failing registries do."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

PIECE = 1 << 16


@dataclass(kw_only=True)
class Fault:
    """What happens to the next `times` requests of a method whose path has `path` in it.

    Either `status` is answered, with `headers` and `body`; or the connection is cut after `cut_request` bytes of the
    request's body have gone on, or `cut_answer` bytes of the answer's; or nothing happens until `hang` is set; or the
    answer's body is changed by `change`. `before` is called before anything else.
    """

    method: str
    path: str = ""
    times: int = 1
    after: int = 0
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_request: int | None = None
    cut_answer: int | None = None
    hang: threading.Event | None = None
    change: Callable[[bytes], bytes] | None = None
    before: Callable[[], object] | None = None
    struck: int = 0

    def strikes(self, method: str, path: str) -> bool:
        if self.struck >= self.times or method != self.method or not re.search(self.path, path):
            return False
        if self.after:
            self.after -= 1
            return False
        self.struck += 1
        return True


@dataclass
class Proxy:
    """`log` has every request: its method, path, and the bytes of its body that came."""

    address: str
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, int]] = field(default_factory=list)

    def add(self, **fault: object) -> Fault:
        made = Fault(**fault)  # type: ignore[arg-type]
        self.faults.append(made)
        return made

    def sent(self, method: str) -> int:
        """Bytes of all bodies of a method."""
        return sum(size for found, _, size in self.log if found == method)

    def count(self, method: str, path: str = "") -> int:
        return sum(1 for found, where, _ in self.log if found == method and re.search(path, where))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        fault, entry = self.server.taken(self.command, self.path)
        if fault and fault.before:
            fault.before()
        if fault and fault.hang:
            fault.hang.wait(60)
            self._cut()
        elif fault and fault.status:
            while length and (piece := self.rfile.read(min(PIECE, length))):
                length -= len(piece)
            self._answer(fault.status, {**fault.headers}, fault.body)
        else:
            onward = http.client.HTTPConnection(*self.server.upstream)
            try:
                self._pass_on(onward, fault, entry, length)
            except OSError:
                self._cut()
            finally:
                onward.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _do

    def _pass_on(self, onward: http.client.HTTPConnection, fault: Fault | None, entry: int, length: int) -> None:
        onward.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            onward.putheader(name, value)
        onward.endheaders()
        cut = fault.cut_request if fault and fault.cut_request is not None else length
        gone = 0
        while gone < min(length, cut) and (piece := self.rfile.read(min(PIECE, min(length, cut) - gone))):
            onward.send(piece)
            gone += len(piece)
            self.server.proxy.log[entry] = (self.command, self.path, gone)
        if gone < length:
            assert onward.sock is not None
            onward.sock.shutdown(socket.SHUT_RDWR)
            self._cut()
            return
        answer = onward.getresponse()
        body = answer.read()
        if fault and fault.change:
            body = fault.change(body)
        headers = {name: value for name, value in answer.getheaders() if name.lower() != "transfer-encoding"}
        self._answer(answer.status, headers, body, only=fault.cut_answer if fault else None)

    def _answer(self, status: int, headers: dict[str, str], body: bytes, only: int | None = None) -> None:
        if self.command != "HEAD" or not any(name.lower() == "content-length" for name in headers):
            headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
            if status != 204:
                headers["Content-Length"] = str(len(body))
        if only != 0:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body[:only])
            self.wfile.flush()
        if only is not None:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        host, _, port = upstream.rpartition(":")
        self.upstream = host, int(port)
        self.proxy = Proxy(f"127.0.0.1:{self.server_port}")
        self._lock = threading.Lock()

    def taken(self, method: str, path: str) -> tuple[Fault | None, int]:
        """What happens to a request, and its place in the log."""
        with self._lock:
            fault = next((found for found in self.proxy.faults if found.strikes(method, path)), None)
            self.proxy.log.append((method, path, 0))
            return fault, len(self.proxy.log) - 1

    def handle_error(self, *_: object) -> None:
        """Clients that go away are what this is for."""


@contextlib.contextmanager
def faulty(upstream: str) -> Iterator[Proxy]:
    """Runs a proxy before the registry at the address `upstream`."""
    server = _Server(upstream)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A receiver of POSTs on loopback: what others run, and GitHub as its documentation has it."""

from __future__ import annotations

import http.server
import json
import re
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

STATUS_PATH = re.compile(r"/repos/[^/]+/[^/]+/statuses/[0-9a-f]{40}")
COMMENT_PATH = re.compile(r"/repos/[^/]+/[^/]+/commits/[0-9a-f]{40}/comments")


@dataclass(frozen=True)
class Received:
    """One POST."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came, and what is answered: a status, or a function of what came."""

    port: int = 0
    got: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda _: (204, {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver, over TLS where a context is given."""
    receiver = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            got = Received(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
            receiver.got.append(got)
            status, headers = receiver.answer(got)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def github(token: str) -> Callable[[Received], tuple[int, dict[str, str]]]:
    """The answers of GitHub's documented API to the two calls: 201, 401 for a bad token, 404, 422 for a bad body."""

    def answer(got: Received) -> tuple[int, dict[str, str]]:
        if got.headers.get("authorization") != f"Bearer {token}":
            return 401, {}
        if STATUS_PATH.fullmatch(got.path):
            body = got.json
            known = set(body) <= {"state", "target_url", "description", "context"}
            good = body.get("state") in ("error", "failure", "pending", "success") and len(body["description"]) <= 140
            return (201, {}) if known and good else (422, {})
        if COMMENT_PATH.fullmatch(got.path):
            return (201, {}) if 0 < len(got.json["body"]) <= 65536 else (422, {})
        return 404, {}

    return answer

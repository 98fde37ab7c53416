"""Users of every kind at a steady rate, who never try again and count what fails.

``python -m tests.clients PORT HOST`` is one of them until SIGTERM; it prints what came of it as JSON.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

PATIENCE = 15
SESSION_SECONDS = 2.0
SAY_SECONDS = 0.1
TEXT, CLOSE = 0x81, 0x88


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A request that got no answer, or not that of the application; `at` is time.time()'s."""

    at: float
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What came of it: requests by kind (a websocket's are its messages), and those that failed."""

    sent: Counter[str]
    failed: tuple[Failure, ...]

    @property
    def total(self) -> int:
        """Of all kinds."""
        return self.sent.total()

    def __str__(self) -> str:
        reasons = Counter(f"{failure.kind}: {failure.reason}" for failure in self.failed)
        told = f" ({', '.join(f'{reason} x {count}' for reason, count in reasons.items())})" if reasons else ""
        return f"{len(self.failed)} failed of {self.total:,}{told}"


@dataclass
class Clients:
    """Keep-alive GETs, POSTs, answers that take a quarter of a second, a connection for each request, websockets.

    `kinds` gives, by kind, how many connections and how many requests a second together.
    """

    port: int
    host: str
    kinds: dict[str, tuple[int, float]] = field(
        default_factory=lambda: {
            "keep-alive": (6, 100.0),
            "POST": (2, 40.0),
            "slow": (5, 15.0),
            "a connection each": (1, 15.0),
            "websocket": (3, 30.0),
        }
    )

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._failed: list[Failure] = []
        ways: dict[str, Callable[[str, float], None]] = {"websocket": self._talk}
        self._threads = [
            threading.Thread(target=ways.get(kind, self._ask), args=(kind, connections / rate), daemon=True)
            for kind, (connections, rate) in self.kinds.items()
            for _ in range(connections)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE + SESSION_SECONDS)

    @property
    def tally(self) -> Tally:
        """So far."""
        with self._lock:
            return Tally(sent=self._sent.copy(), failed=tuple(self._failed))

    def _count(self, kind: str, failure: str = "") -> None:
        with self._lock:
            self._sent[kind] += 1
            if failure:
                self._failed.append(Failure(at=time.time(), kind=kind, reason=failure))

    def _ask(self, kind: str, interval: float) -> None:
        method, path = ("POST" if kind == "POST" else "GET"), ("/slow" if kind == "slow" else "/")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        while not self._over.wait(interval):
            failure = ""
            try:
                connection.request(method, path, body=b"{}" if method == "POST" else None, headers={"Host": self.host})
                answer = connection.getresponse()
                answer.read()
                failure = "" if answer.status == 200 else str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                failure = type(error).__name__
            if failure or kind == "a connection each":
                connection.close()
            self._count(kind, failure)
        connection.close()

    def _talk(self, kind: str, interval: float) -> None:
        while not self._over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                    self._session(connection, kind, interval)
            except (OSError, AssertionError) as error:
                self._count(kind, f"{type(error).__name__} {error}")
                # Where nobody is there, connecting fails at once: that is one failure each time it would have spoken.
                self._over.wait(interval)

    def _session(self, connection: socket.socket, kind: str, interval: float) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {self.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        with connection.makefile("rb") as heard:
            first = heard.readline()
            assert b" 101 " in first, first
            while heard.readline().strip():
                pass
            until = time.monotonic() + SESSION_SECONDS
            while time.monotonic() < until and not self._over.wait(interval):
                self._say(connection, heard.read, TEXT, b"still there?")
                self._count(kind)
            self._say(connection, heard.read, CLOSE, b"\x03\xe8")

    @staticmethod
    def _say(connection: socket.socket, read: Callable[[int], bytes], opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        connection.sendall(bytes([opcode, 0x80 | len(payload)]) + mask + masked)
        answer = read(2 + len(payload))
        assert answer == bytes([opcode, len(payload)]) + payload, "the connection was cut"


def main(arguments: Sequence[str]) -> int:
    """Go on until somebody ends it."""
    port, host = arguments
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with Clients(int(port), host) as clients:
        over.wait()
    tally = clients.tally
    sys.stdout.write(json.dumps({"sent": tally.sent, "failed": [asdict(failure) for failure in tally.failed]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Requests of our own through the balancer while a rollout goes on, so that "none was lost" is a count, not a hope."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass

from imageforge import __version__

INTERVAL = 0.1
"""Seconds between two requests. They stand in the application's access log, and in its figures, so they are few: what
they are for is that a gap is seen where nobody else asks; everybody else's requests the balancer counts anyway."""
USER_AGENT = f"imageforge-cutover/{__version__}"
"""By which the application's log and figures can tell them from its users' requests."""
PATIENCE = 10.0
"""Seconds a request may take."""
BALANCER_FAILURES = frozenset({502, 503, 504})
"""Answers that HAProxy gives in place of a replica's. An application's own 500 is not a request lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoverCount:
    """What came of the requests; `slowest` in seconds."""

    sent: int
    failed: int
    slowest: float
    first_failure: str = ""


class CutoverWatch:
    """Sends GETs on one keep-alive connection until told to stop. It does not retry."""

    def __init__(self, *, address: str, port: int, host: str, path: str) -> None:
        self._address = address
        self._port = port
        self._host = host
        self._path = path
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._sent = 0
        self._failed = 0
        self._slowest = 0.0
        self._first_failure = ""

    @property
    def started(self) -> bool:
        """Whether it sends, or has sent."""
        return self._thread is not None

    def start(self) -> None:
        """Begin; once."""
        self._thread = threading.Thread(target=self._run, name="cutover-watch", daemon=True)
        self._thread.start()

    def stop(self) -> CutoverCount:
        """End, and count."""
        self._stop.set()
        if self._thread:
            self._thread.join(PATIENCE + 1)
        return CutoverCount(
            sent=self._sent, failed=self._failed, slowest=self._slowest, first_failure=self._first_failure
        )

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=PATIENCE)
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                failure = self._ask(connection)
                self._sent += 1
                self._slowest = max(self._slowest, time.monotonic() - began)
                if failure:
                    self._failed += 1
                    self._first_failure = self._first_failure or failure
                self._stop.wait(INTERVAL)
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> str:
        try:
            connection.request("GET", self._path, headers={"Host": self._host, "User-Agent": USER_AGENT})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return f"{type(error).__name__}: {error}"
        if response.status in BALANCER_FAILURES:
            return f"the balancer answered {response.status}"
        return ""

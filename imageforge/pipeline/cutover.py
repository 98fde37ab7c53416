"""Requests of our own through the balancer while a rollout goes on, so that "none was lost" is a count, not a hope, and
so that how long a request takes is measured: HAProxy counts everybody's, and of their times it knows means alone.

To have it log each request with its times would cost a busy service more than the rollout itself; few requests of our
own, before, during and after, cost nothing, and their number stands beside their percentiles.
"""

from __future__ import annotations

import http.client
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from imageforge import __version__
from imageforge.report.rollout import NO_LATENCY, Latency, OwnRequests

INTERVAL = 0.1
"""Seconds between two requests. They stand in the application's access log, and in its figures, so they are few: what
they are for is that a gap is seen where nobody else asks; everybody else's requests the balancer counts anyway."""
SAMPLES = 20
"""Requests before the change, and after it."""
SAMPLE_INTERVAL = 0.005
"""Seconds between two of these: nobody is to wait for them."""
SAMPLE_SECONDS = 1.0
"""The longest that an application is asked for them: one that takes its time has fewer."""
USER_AGENT = f"imageforge-cutover/{__version__}"
"""By which the application's log and figures can tell them from its users' requests."""
PATIENCE = 10.0
"""Seconds a request may take."""
BALANCER_FAILURES = frozenset({502, 503, 504})
"""Answers that HAProxy gives in place of a replica's. An application's own 500 is not a request lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrance:
    """Where requests go in: an address of the balancer, the Host they name, and the path they ask for."""

    address: str
    port: int
    host: str
    path: str = "/"


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoverCount:
    """What came of the requests during the rollout and after it; `slowest` in seconds. Latencies are of those that were
    answered."""

    sent: int
    failed: int
    slowest: float
    first_failure: str = ""
    before: Latency = NO_LATENCY
    during: Latency = NO_LATENCY
    after: Latency = NO_LATENCY

    def as_own(self, path: str) -> OwnRequests | None:
        """As the report has it; None where nothing was asked."""
        if not self.sent:
            return None
        return OwnRequests(
            path=path,
            sent=self.sent,
            failed=self.failed,
            first_failure=self.first_failure,
            before=self.before,
            during=self.during,
            after=self.after,
        )


def percentile(times: Sequence[float], percent: float) -> float:
    """The nearest rank of `times`, of which there is one at least: the smallest that so many percent do not exceed."""
    return sorted(times)[max(0, math.ceil(percent / 100 * len(times)) - 1)]


def latency(times: Sequence[float]) -> Latency:
    """Of times in seconds."""
    if not times:
        return NO_LATENCY
    p50, p99 = (round(percentile(times, percent) * 1000, 2) for percent in (50, 99))
    return Latency(count=len(times), p50_ms=p50, p99_ms=p99)


class CutoverWatch:
    """Sends GETs: a few `before`, then from `start` on until `stop`, which may ask a few `after`. It does not retry.

    Each has a connection of its own, from the first packet to the last. On one that is kept, how long an answer takes
    depends on how long ago the one before was, where an application writes its answers in pieces (Nagle's algorithm
    against a delayed acknowledgement, 40 ms), and the three could not be compared.
    """

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: list[float] = []
        self._during: list[float] = []
        self._sent = 0
        self._failed = 0
        self._slowest = 0.0
        self._first_failure = ""

    @property
    def path(self) -> str:
        """What is asked for."""
        return self._entrance.path

    @property
    def started(self) -> bool:
        """Whether it sends, or has sent."""
        return self._thread is not None

    def before(self) -> None:
        """Ask for how long it takes before anything is changed. What fails here no rollout has lost."""
        self._before = self._sample()

    def start(self) -> None:
        """Begin; once."""
        self._thread = threading.Thread(target=self._run, name="cutover-watch", daemon=True)
        self._thread.start()

    def stop(self, *, after: bool = False) -> CutoverCount:
        """End, and count. With `after` a few more are sent first, now that all is as it is to be."""
        self._stop.set()
        last: list[float] = []
        if self._thread:
            self._thread.join(PATIENCE + 1)
            if after:
                last = self._sample(counted=True)
        return CutoverCount(
            sent=self._sent,
            failed=self._failed,
            slowest=self._slowest,
            first_failure=self._first_failure,
            before=latency(self._before),
            during=latency(self._during),
            after=latency(last),
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            took, failure = self._timed()
            self._count(took, failure)
            if not failure:
                self._during.append(took)
            self._stop.wait(INTERVAL)

    def _sample(self, *, counted: bool = False) -> list[float]:
        times: list[float] = []
        until = time.monotonic() + SAMPLE_SECONDS
        for _ in range(SAMPLES):
            took, failure = self._timed()
            if counted:
                self._count(took, failure)
            if not failure:
                times.append(took)
            if time.monotonic() > until:
                break
            time.sleep(SAMPLE_INTERVAL)
        return times

    def _count(self, took: float, failure: str) -> None:
        self._sent += 1
        self._slowest = max(self._slowest, took)
        if failure:
            self._failed += 1
            self._first_failure = self._first_failure or failure

    def _timed(self) -> tuple[float, str]:
        began = time.monotonic()
        failure = self._ask()
        return time.monotonic() - began, failure

    def _ask(self) -> str:
        connection = http.client.HTTPConnection(self._entrance.address, self._entrance.port, timeout=PATIENCE)
        headers = {"Host": self._entrance.host, "User-Agent": USER_AGENT}
        try:
            connection.request("GET", self._entrance.path, headers=headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if response.status in BALANCER_FAILURES:
            return f"the balancer answered {response.status}"
        return ""

"""How often somebody may call: a bucket of tokens for each caller that fills at a steady rate."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CALLERS = 10_000
"""Callers that are remembered; the one that was silent longest is forgotten first."""


class Limiter:
    """Allows `burst` calls at once and `rate` a second after them, for each key."""

    def __init__(self, *, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str, *, take: bool = True) -> float:
        """Seconds until the call is allowed; 0 where it is, and with `take` it is counted."""
        now = self._clock()
        with self._lock:
            level, at = self._buckets.pop(key, (float(self._burst), now))
            level = min(self._burst, level + (now - at) * self._rate)
            allowed = level >= 1
            self._buckets[key] = (level - 1 if allowed and take else level, now)
            while len(self._buckets) > MOST_CALLERS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - level) / self._rate

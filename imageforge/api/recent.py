"""An answer that is costly to find and asked for by anybody: found once a second at most, whoever asks how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

FRESH_SECONDS = 1.0


class Recent(Generic[Answer]):
    """The answer of the last look. One looks at a time; who comes meanwhile gets the answer of before, so that a part
    which hangs holds up one caller and not all. Every thread may use it."""

    def __init__(self, look: Callable[[], Answer], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._looking = threading.Lock()
        self._known: tuple[float, Answer] | None = None

    def get(self) -> Answer:
        """The answer, younger than a second or as old as the look that is under way. Raises what the look raises."""
        known = self._known
        if known is not None and self._clock() - known[0] < FRESH_SECONDS:
            return known[1]
        if not self._looking.acquire(blocking=known is None):
            assert known is not None
            return known[1]
        try:
            known = self._known
            if known is None or self._clock() - known[0] >= FRESH_SECONDS:
                found = self._look()
                self._known = known = (self._clock(), found)
            return known[1]
        finally:
            self._looking.release()

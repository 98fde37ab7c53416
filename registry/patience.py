"""How often a request is tried, and how long is waited in between: pure decisions, chance and time as arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that may be others the next time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """`tries` are requests in all; `silence` seconds without a byte end one, and `hangs` of those are enough. The pause
    after the first is about `first` seconds, doubles, and is never more than `most`; a registry that asks for more than
    `longest` is not waited for."""

    tries: int = 5
    hangs: int = 2
    silence: float = 120.0
    first: float = 0.5
    most: float = 20.0
    longest: float = 60.0

    def pause(self, failed: int, hung: int, *, asked: float | None, chance: float) -> float | None:
        """Seconds to wait after `failed` requests, `hung` of them for want of an answer; None where it is to be given
        up. `asked` is what the registry asks for, `chance` a number from 0 to 1 that parts those who failed together.
        """
        if failed >= self.tries or hung >= self.hangs or (asked is not None and asked > self.longest):
            return None
        usual = min(self.most, self.first * 2.0 ** (failed - 1))
        drawn = usual * (0.5 + chance / 2)
        return drawn if asked is None else asked + drawn * 0.1


ONCE = Patience(tries=1)
"""For questions whose asker has a patience of his own."""


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After asks for, in either of its forms; None where it says nothing that can be read. `now`
    is Unix time."""
    if not header:
        return None
    try:
        found = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
            found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, found) if math.isfinite(found) else None

"""When to try again, and when to give up; pure."""

from __future__ import annotations

from dataclasses import dataclass

PAUSES = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0)
"""Seconds before each further attempt: seventeen and a half hours in all, so that a receiver that is down over night
misses nothing. Standard Webhooks recommends such a course."""
SPREAD = 0.2
"""Part of a pause that chance adds, so that what failed together is not tried again together."""
LONGEST_ASKED = 3600.0
"""Seconds of a Retry-After that are honoured."""
LONGEST_REST = 300.0
"""Seconds that a target which fails gets nothing at all. What is new is tried sooner, so that one that is back is
noticed."""
GONE = 410
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one attempt went. `status` None: no answer came. `retry_after` in seconds, as the answer had it.
    `broken_off`: by us, before there was an outcome."""

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None
    broken_off: bool = False

    @property
    def told(self) -> bool:
        """Whether it arrived."""
        return self.status is not None and 200 <= self.status < 300


def pause(outcome: Outcome, attempts: int, *, stubborn: bool, chance: float) -> float | None:
    """Seconds until the next attempt after `attempts` of them, the last with this outcome; None: none any more.

    `stubborn`: every answer but 410 may change by itself, as with somebody's own receiver that is being mended; else
    an answer that says what is wrong with the request is final. `chance` is from 0 to 1.
    """
    if outcome.told or outcome.status == GONE or attempts > len(PAUSES):
        return None
    limited = outcome.status == 403 and outcome.retry_after is not None  # GitHub's secondary limits
    if not stubborn and outcome.status is not None and outcome.status not in PASSING and not limited:
        return None
    planned = PAUSES[attempts - 1] * (1 + SPREAD * chance)
    return max(planned, min(outcome.retry_after or 0.0, LONGEST_ASKED))


def rest(failures: int) -> float:
    """Seconds without anything of what waits for a target, after so many failures in a row."""
    return min(PAUSES[min(failures, len(PAUSES)) - 1], LONGEST_REST)

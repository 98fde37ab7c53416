"""When a container that ended is started again: at once, then after 10 s, doubling up to 300 s.

The figures are those of Kubernetes (pod lifecycle, "How Pods handle problems with containers"): a first delay of 10 s,
a cap of five minutes, and a clean slate after ten minutes of running.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FIRST_DELAY = 10.0
LONGEST_DELAY = 300.0
RESET_AFTER = 600.0


class RestartPolicy(StrEnum):
    """Which ends of a container are followed by another start."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"

    def starts_again(self, exit_code: int | None) -> bool:
        """Whether it does after this end; None is one that nobody saw, or a container that could not be started."""
        return self is RestartPolicy.ALWAYS or (self is RestartPolicy.ON_FAILURE and exit_code != 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """`delay` seconds pass between the last end and the next start; `restarts` counts the starts after the first."""

    restarts: int = 0
    delay: float = 0.0

    def after_end(self, ran_for: float) -> Backoff:
        """The state once a container that ran `ran_for` seconds has ended and will be started again."""
        if self.restarts == 0 or ran_for >= RESET_AFTER:
            return Backoff(restarts=self.restarts + 1, delay=0.0)
        delay = FIRST_DELAY if self.delay == 0.0 else min(self.delay * 2, LONGEST_DELAY)
        return Backoff(restarts=self.restarts + 1, delay=delay)

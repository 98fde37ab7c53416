"""Following a Job to its end, over a controller that is away for a while: the Job goes on meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from runtime import ControllerClient, ControllerUnreachable, JobPhase, JobStatus, LogLine

LOOK_SECONDS = 0.2
PATIENCE = 60.0
"""How long a controller may be away: one that was killed is started again."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnd:
    """A Job by its name. `ensure` makes it where it is not there, `tell` hears each line of its output, from the
    beginning whenever it is read again. `seconds` is how long all of it may take, None as long as it will."""

    namespace: str
    name: str
    ensure: Callable[[], None]
    tell: Callable[[LogLine], None]
    seconds: float | None = None

    def follow(self, controller: ControllerClient) -> JobStatus:
        """How it ended. Raises ControllerUnreachable where the controller stays away."""

        def read() -> JobStatus:
            self.ensure()
            for line in controller.job_logs(self.namespace, self.name, follow=True):
                self.tell(line)
            return controller.job(self.namespace, self.name)

        while (status := patiently(read, self.seconds)).phase is JobPhase.ACTIVE:
            time.sleep(LOOK_SECONDS)
        return status


def patiently(do: Callable[[], T], seconds: float | None) -> T:
    """What it returns, tried again while the controller is away."""
    end = None if seconds is None else time.monotonic() + seconds
    away_since: float | None = None
    while True:
        try:
            return do()
        except ControllerUnreachable as error:
            now = time.monotonic()
            away_since = now if error.code == "controller-lost" or away_since is None else away_since
            if now - away_since > PATIENCE or (end is not None and now > end):
                raise
        time.sleep(LOOK_SECONDS)

"""What a row of probe results means, pure. The rules are the kubelet's (kubernetes/pkg/kubelet/prober/worker.go)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from runtime.manifest.probe import Probe

EARLY_PERIODS = ((1.0, 0.02), (5.0, 0.1), (float("inf"), 0.25))
"""Seconds between questions to a container that has not passed yet, until it has run for so long: finding it ready
sooner changes no verdict, for only a success moves the state then. Most programs listen within the first second."""


class Kind(StrEnum):
    """What a probe decides: that the container has started, that it lives, that it may be given requests."""

    STARTUP = "startup"
    LIVENESS = "liveness"
    READINESS = "readiness"


_FIRST = {Kind.STARTUP: None, Kind.LIVENESS: True, Kind.READINESS: False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`passes` None is not known yet, which only a startup probe begins with. `last` is the newest result and `row` how
    many equal ones there were in a row; `ever` whether it has passed before; `held` when nothing is asked any more
    until there is another container."""

    kind: Kind
    passes: bool | None
    last: bool | None = None
    row: int = 0
    ever: bool = False
    held: bool = False

    @classmethod
    def first(cls, kind: Kind) -> Verdict:
        """That of a container that was not asked yet. A live one is not asked more often to see that it lives."""
        return cls(kind=kind, passes=_FIRST[kind], ever=_FIRST[kind] is True)

    def after(self, result: bool | None, probe: Probe) -> Verdict:
        """The verdict turns only when as many equal results came in a row as the threshold says; None, an error of the
        one who asks, is no result."""
        if result is None or self.held:
            return self
        row = self.row + 1 if result is self.last else 1
        if row < (probe.success_threshold if result else probe.failure_threshold):
            return replace(self, last=result, row=row)
        ends = not result and self.kind is not Kind.READINESS
        return replace(self, passes=result, last=result, row=0 if ends else row, ever=self.ever or result, held=ends)


def is_asked(kind: Kind, *, started: bool, ending: bool) -> bool:
    """Whether a probe is asked now: a startup probe until the container has started, and the other two from then on;
    of one that is being ended only readiness."""
    if kind is Kind.STARTUP:
        return not started and not ending
    return started and not (ending and kind is Kind.LIVENESS)


def warns(probe: Probe, verdict: Verdict, ran_for: float, *, warned: bool) -> bool:
    """Whether a failure is told as a warning: each of one that has passed before, and that which ends it. Of one on its
    way the first, for `warned` was of none yet; but not what is only found by asking more often than its period says
    in the first second, in which nothing has failed, nor that nobody could ask."""
    if verdict.ever or verdict.held:
        return True
    return verdict.last is False and not warned and (bool(probe.command) or ran_for >= EARLY_PERIODS[0][0])


def pause(probe: Probe, verdict: Verdict, ran_for: float) -> float:
    """Seconds until the next question to a container that has run for `ran_for`. One that has not passed yet is asked
    more often, unless that costs it a process each time."""
    period = float(probe.period)
    if verdict.ever or verdict.last or probe.command:
        return period
    return min(period, next(early for until, early in EARLY_PERIODS if ran_for < until))

"""What to do next for one CronJob, as a pure function: Kubernetes' rules (pkg/controller/cronjob)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.manifest.model import Concurrency, CronJob
from runtime.model import JobPhase
from runtime.schedule import MOST_MISSED, latest, times, zone

TOO_MANY = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
ACTIVE = "Not starting job because prior execution is running and concurrency policy is Forbid"


@dataclass(frozen=True, kw_only=True, slots=True)
class CronRun:
    """What is remembered of a CronJob: when it was first seen, and the last time that it was due and served."""

    created_at: float
    last: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A Job that it made."""

    name: str
    phase: JobPhase
    finished_at: float | None = None
    deleting: bool = False

    @property
    def active(self) -> bool:
        """Whether it is not done."""
        return self.phase is JobPhase.ACTIVE


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """An event."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CronDecision:
    """What to do: delete Jobs, then start the one that was due at `start`; the one for `served` is there already.
    `until` is when it is due next."""

    delete: tuple[str, ...] = ()
    served: float | None = None
    start: float | None = None
    say: tuple[Said, ...] = ()
    until: float | None = None


def job_name(name: str, due: float) -> str:
    """The name of the Job for a time: minutes since the epoch, so that none is made twice for one time."""
    return f"{name}-{int(due // 60)}"


def decide_cron(cron: CronJob, run: CronRun, made: Sequence[Made], now: float) -> CronDecision:
    """The next step."""
    old = _past_history(cron, made)
    where = zone(cron.time_zone)
    until = next(iter(times(cron.schedule, where, now)), None)
    if cron.suspend:
        return CronDecision(delete=old)
    after = max(run.created_at, run.last or 0.0)
    if cron.starting_deadline is not None:
        after = max(after, now - cron.starting_deadline)
    due, missed = latest(cron.schedule, where, after, now)
    say = (Said(reason="TooManyMissedTimes", message=TOO_MANY, warning=True),) if missed > MOST_MISSED else ()
    if due is None:
        return CronDecision(delete=old, until=until)
    if job_name(cron.name, due) in {job.name for job in made}:
        # The controller was killed between making it and remembering that.
        return CronDecision(delete=old, served=due, until=until)
    active = tuple(job.name for job in made if job.active and not job.deleting)
    ending = any(job.active and job.deleting for job in made)
    if cron.concurrency is Concurrency.FORBID and (active or ending):
        return CronDecision(delete=old, say=(Said(reason="JobAlreadyActive", message=ACTIVE),), until=until)
    replaced = active if cron.concurrency is Concurrency.REPLACE else ()
    return CronDecision(delete=old + replaced, start=due, say=say, until=until)


def _past_history(cron: CronJob, made: Sequence[Made]) -> tuple[str, ...]:
    out: list[str] = []
    for phase, limit in ((JobPhase.SUCCEEDED, cron.successful_history), (JobPhase.FAILED, cron.failed_history)):
        done = sorted((job for job in made if job.phase is phase and not job.deleting), key=_age)
        out += [job.name for job in done[: max(0, len(done) - limit)]]
    return tuple(out)


def _age(job: Made) -> tuple[float, str]:
    return job.finished_at or 0.0, job.name

"""What to do next for one Job: Kubernetes' rules for pods that end, as a pure function.

After the Job controller (kubernetes/pkg/controller/job): a pod that ends with code 0 completes the Job; more than
`backoffLimit` failed ones fail it, and so does `activeDeadlineSeconds`, counted from the Job's start; between two pods
10 s pass, doubling up to ten minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from runtime.manifest.model import RELEASE_ANNOTATION, Job, app_of
from runtime.model import JobPhase, JobStatus

FIRST_DELAY = 10.0
LONGEST_DELAY = 600.0
BACKOFF_LIMIT = "BackoffLimitExceeded"
DEADLINE = "DeadlineExceeded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One pod of a Job. It is remembered before its container is made, and the container's id before it is started: so
    one that was lost is told from one that never ran. Times are Unix seconds."""

    name: str
    container_id: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    message: str = ""
    last_log: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Whether its container was seen to run, and not to have ended."""
        return self.started_at is not None and self.ended_at is None

    @property
    def lost(self) -> bool:
        """Whether its container was gone before it was seen to end."""
        return bool(self.container_id) and self.ended_at is not None and self.exit_code is None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRun:
    """What became of a Job so far. `stopping` is the reason for which its pod is being stopped; `reason` that of its
    failure, empty once it is complete."""

    started_at: float
    attempts: tuple[Attempt, ...] = ()
    stopping: str = ""
    finished_at: float | None = None
    reason: str = ""

    @property
    def current(self) -> Attempt | None:
        """The pod that has not ended."""
        return next((attempt for attempt in self.attempts if attempt.ended_at is None), None)

    @property
    def succeeded(self) -> bool:
        """Whether a pod ended with code 0."""
        return any(attempt.exit_code == 0 for attempt in self.attempts) and not self.stopping

    def with_attempt(self, changed: Attempt) -> JobRun:
        """The same with one pod changed, or a new one."""
        known = [changed if attempt.name == changed.name else attempt for attempt in self.attempts]
        if changed.name not in (attempt.name for attempt in self.attempts):
            known.append(changed)
        return replace(self, attempts=tuple(known))

    def as_json(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> JobRun:
        """The inverse of `as_json`."""
        attempts = (Attempt(**{**item, "last_log": tuple(item["last_log"])}) for item in raw["attempts"])
        return cls(**{**raw, "attempts": tuple(attempts)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Make another pod."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Halt:
    """Stop the pod that runs; with a `reason` the Job fails for it."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The Job is done: complete where there is no `reason`."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Remove its containers and forget it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rest:
    """Nothing to decide before `until`, None for ever, unless its pod ends."""

    until: float | None = None


JobAction = Begin | Halt | Finish | Remove | Rest


def decide_job(job: Job, run: JobRun, *, deleting: bool, now: float) -> JobAction:
    """The next action."""
    current = run.current
    if deleting:
        return Remove() if current is None else Halt()
    if run.finished_at is not None:
        gone_at = None if job.ttl is None else run.finished_at + job.ttl
        return Rest(until=gone_at) if gone_at is None or now < gone_at else Remove()
    deadline = None if job.active_deadline is None else run.started_at + job.active_deadline
    late = deadline is not None and now >= deadline
    if current is not None:
        return Halt(reason=DEADLINE) if late else Rest(until=deadline)
    if run.succeeded:
        return Finish()
    reason = run.stopping or (DEADLINE if late else BACKOFF_LIMIT if len(run.attempts) > job.backoff_limit else "")
    return Finish(reason=reason) if reason else _begin_or_rest(run, deadline, now)


def _begin_or_rest(run: JobRun, deadline: float | None, now: float) -> JobAction:
    if not run.attempts:
        return Begin()
    delay = min(FIRST_DELAY * 2 ** min(len(run.attempts) - 1, 10), LONGEST_DELAY)
    due = (run.attempts[-1].ended_at or run.started_at) + delay
    if now >= due:
        return Begin()
    return Rest(until=due if deadline is None else min(due, deadline))


def job_status(job: Job, run: JobRun, *, deleting: bool) -> JobStatus:
    """The status that callers see."""
    last = run.attempts[-1] if run.attempts else None
    phase = JobPhase.ACTIVE
    if run.finished_at is not None:
        phase = JobPhase.FAILED if run.reason else JobPhase.SUCCEEDED
    succeeded = sum(attempt.exit_code == 0 for attempt in run.attempts) if run.succeeded else 0
    return JobStatus(
        name=job.name,
        namespace=job.namespace,
        phase=phase,
        active=int(run.current is not None),
        succeeded=succeeded,
        failed=sum(attempt.ended_at is not None for attempt in run.attempts) - succeeded,
        reason=run.reason,
        message=last.message if last else "",
        deleting=deleting,
        lost=last is not None and last.lost,
        exit_code=last.exit_code if last else None,
        started_at=run.started_at,
        finished_at=run.finished_at,
        app=app_of(job.template.labels, job.name),
        release=job.template.annotations.get(RELEASE_ANNOTATION, ""),
        last_log=last.last_log if last else (),
    )

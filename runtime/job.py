"""What to do next for one Job: Kubernetes' rules for pods that end, as a pure function.

After the Job controller (kubernetes/pkg/controller/job): a pod that ends with code 0 is a completion; more than
`backoffLimit` failed ones fail the Job, and so does `activeDeadlineSeconds`, counted from its start; after a failure
10 s pass, doubling with each more up to ten minutes, until one succeeds. Its policies are in `runtime.outcome`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtime.attempt import Attempt, JobRun
from runtime.manifest.model import RELEASE_ANNOTATION, Job, app_of
from runtime.model import JobPhase, JobStatus, PodStatus
from runtime.outcome import failed_indexes, failures, has_succeeded, why_failed

FIRST_DELAY = 10.0
LONGEST_DELAY = 600.0
BACKOFF_LIMIT = "BackoffLimitExceeded"
DEADLINE = "DeadlineExceeded"
BY_RULE = "PodFailurePolicy"
FAILED_INDEXES = "FailedIndexes"
TOO_MANY_INDEXES = "MaxFailedIndexesExceeded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Make another pod."""

    index: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Halt:
    """Stop pods; with a `reason` the Job fails for it, without one they are given up."""

    names: tuple[str, ...]
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finish:
    """The Job is done: complete where there is no `reason`."""

    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspend:
    """Hold it: its pods are gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """Let it go on; its time begins anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remove:
    """Remove its containers and forget it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rest:
    """Nothing to decide before `until`, None for ever, unless its pod ends."""

    until: float | None = None


JobAction = Begin | Halt | Finish | Suspend | Resume | Remove | Rest


def decide_job(job: Job, run: JobRun, *, deleting: bool, now: float) -> JobAction:
    """The next action."""
    if deleting:
        return _halt(run.active) if run.active else Remove()
    if run.finished_at is not None:
        gone_at = None if job.ttl is None else run.finished_at + job.ttl
        return Rest(until=gone_at) if gone_at is None or now < gone_at else Remove()
    if run.stopping:
        return _halt(run.active, run.stopping) if run.active else Finish(reason=run.stopping)
    if job.suspend:
        return _halt(run.active) if run.active else Rest() if run.suspended else Suspend()
    if run.suspended:
        return Resume()
    return _go_on(job, run, now)


def _go_on(job: Job, run: JobRun, now: float) -> JobAction:
    deadline = None if job.active_deadline is None else run.started_at + job.active_deadline
    complete = is_complete(job, run)
    reason = BY_RULE if why_failed(job, run) else ""
    if not complete and not reason:
        reason = DEADLINE if deadline is not None and now >= deadline else _too_many(job, run)
    if complete or reason:
        return _halt(run.active, reason) if run.active else Finish(reason=reason)
    wanted = _wanted(job, run)
    if len(run.active) > wanted:
        return _halt(run.active[wanted:])
    if len(run.active) == wanted:
        return Rest(until=deadline)
    due, index = _next(job, run, now)
    if now >= due:
        return Begin(index=index)
    return Rest(until=due if deadline is None else min(due, deadline))


def is_complete(job: Job, run: JobRun) -> bool:
    """Whether there are as many completions as asked for, or as a rule takes for enough; where no number is, one pod
    that succeeded says that the work is done, and the others come to their end."""
    if job.completions is None:
        return run.completions > 0 and not run.active
    return run.completions >= job.completions or has_succeeded(job, run)


def _wanted(job: Job, run: JobRun) -> int:
    """How many pods there should be now."""
    if job.completions is None:
        return len(run.active) if run.completions else job.parallelism
    return min(job.parallelism, job.completions - run.completions - len(failed_indexes(job, run)))


def _too_many(job: Job, run: JobRun) -> str:
    """The reason where it failed too often: pods that ended, or, where they are started again, the starts of those that
    live; or indexes, of which all have come to their end."""
    limit = job.backoff_limit
    if limit is not None:
        restarts = sum(attempt.restarts for attempt in run.active)
        past = job.on_failure and (restarts > 0 if limit == 0 else restarts >= limit)
        if failures(job, run) > limit or past:
            return BACKOFF_LIMIT
    failed = len(failed_indexes(job, run))
    if job.policy.most_failed is not None and failed > job.policy.most_failed:
        return TOO_MANY_INDEXES
    over = failed and not run.active and run.completions + failed >= (job.completions or 0)
    return FAILED_INDEXES if over else ""


def _next(job: Job, run: JobRun, now: float) -> tuple[float, int | None]:
    """When another pod may begin, and its index: the lowest that is neither done nor being worked on, and where each
    has a limit of its own the lowest that may begin now, else the first that may."""
    if not job.indexed:
        return _due(run.attempts), None
    taken = run.indexes | failed_indexes(job, run) | {attempt.index for attempt in run.active}
    left = [index for index in range(job.completions or 0) if index not in taken]
    if job.policy.limit_per_index is None:
        return _due(run.attempts), left[0]
    due = {index: _due(item for item in run.attempts if item.index == index) for index in left}
    chosen = min(left, key=lambda index: (max(due[index], now), index))
    return due[chosen], chosen


def _due(attempts: Iterable[Attempt]) -> float:
    """When one may begin after these: after the failures since the last success."""
    ended = tuple(attempts)
    succeeded = max((item.ended_at or 0.0 for item in ended if item.succeeded), default=float("-inf"))
    failed = [item.ended_at or 0.0 for item in ended if item.failed and (item.ended_at or 0.0) >= succeeded]
    if not failed:
        return float("-inf")
    return max(failed) + min(FIRST_DELAY * 2.0 ** min(len(failed) - 1, 10), LONGEST_DELAY)


def _halt(pods: Iterable[Attempt], reason: str = "") -> Halt:
    return Halt(names=tuple(pod.name for pod in pods), reason=reason)


def job_status(job: Job, run: JobRun, *, deleting: bool, pods: tuple[PodStatus, ...] = ()) -> JobStatus:
    """The status that callers see, with that of its `pods`."""
    last = run.attempts[-1] if run.attempts else None
    phase = JobPhase.ACTIVE
    if run.finished_at is not None:
        phase = JobPhase.FAILED if run.reason else JobPhase.SUCCEEDED
    return JobStatus(
        name=job.name,
        namespace=job.namespace,
        phase=phase,
        active=len(run.active),
        succeeded=run.completions,
        failed=failures(job, run),
        reason=run.reason,
        message=(why_failed(job, run) if run.reason == BY_RULE else "") or (last.message if last else ""),
        deleting=deleting,
        lost=last is not None and last.lost,
        exit_code=last.exit_code if last else None,
        started_at=None if run.suspended else run.started_at,
        finished_at=run.finished_at,
        app=app_of(job.template, job.name),
        release=job.template.annotations.get(RELEASE_ANNOTATION, ""),
        last_log=last.last_log if last else (),
        completions=job.completions,
        suspended=run.suspended,
        indexes=shown_indexes(run.indexes),
        cron_job=job.owner,
        pods=pods,
    )


def shown_indexes(indexes: Iterable[int]) -> str:
    """``0,2-4``, as Kubernetes writes them."""
    parts: list[list[int]] = []
    for index in sorted(indexes):
        if parts and parts[-1][-1] == index - 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)

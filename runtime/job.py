"""What to do next for one Job: Kubernetes' rules for pods that end, as a pure function.

After the Job controller (kubernetes/pkg/controller/job): a pod that ends with code 0 is a completion; more than
`backoffLimit` failed ones fail the Job, and so does `activeDeadlineSeconds`, counted from its start; after a failure
10 s pass, doubling with each more up to ten minutes, until one succeeds. With `backoffLimitPerIndex` all of that is
counted for each index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from runtime.manifest.job_policy import FailureAction, FailureRule, SuccessRule
from runtime.manifest.model import RELEASE_ANNOTATION, Job, app_of
from runtime.model import JobPhase, JobStatus

FIRST_DELAY = 10.0
LONGEST_DELAY = 600.0
BACKOFF_LIMIT = "BackoffLimitExceeded"
DEADLINE = "DeadlineExceeded"
FAILURE_POLICY = "PodFailurePolicy"
MOST_INDEXES = "MaxFailedIndexesExceeded"
FAILED_INDEXES = "FailedIndexes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One pod of a Job. It is remembered before its container is made, and the container's id before it is started: so
    one that was lost is told from one that never ran. Times are Unix seconds.

    `index` is that of an Indexed Job. A container that failed is followed by another one in the same pod where the Job
    says OnFailure: at `retry_at`, `delay` seconds after its end; `restarts` counts them. One that is `given_up` was
    stopped because it was not wanted any more, and is neither a completion nor a failure; one that was `killed` as the
    Job failed is a failure, whatever its exit code. `codes` are those of its containers that have failed, by name."""

    name: str
    container_id: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    message: str = ""
    last_log: tuple[str, ...] = ()
    index: int | None = None
    restarts: int = 0
    delay: float = 0.0
    retry_at: float | None = None
    given_up: bool = False
    killed: bool = False
    codes: tuple[tuple[str, int], ...] = ()

    @property
    def running(self) -> bool:
        """Whether its container was seen to run, and not to have ended."""
        return self.started_at is not None and self.ended_at is None and self.retry_at is None

    @property
    def lost(self) -> bool:
        """Whether its container was gone before it was seen to end."""
        return bool(self.container_id) and self.ended_at is not None and self.exit_code is None

    @property
    def succeeded(self) -> bool:
        """Whether it ended with code 0."""
        return self.ended_at is not None and self.exit_code == 0 and not (self.given_up or self.killed)

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise."""
        return self.ended_at is not None and not self.given_up and (self.exit_code != 0 or self.killed)


_SINCE_FIRST = ("index", "restarts", "delay", "retry_at", "given_up", "killed", "codes")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRun:
    """What became of a Job so far. `stopping` is the reason for which its pods are being stopped; `reason` that of its
    failure, empty once it is complete. While it is `suspended` it has no pods, and its time does not run."""

    started_at: float
    attempts: tuple[Attempt, ...] = ()
    stopping: str = ""
    finished_at: float | None = None
    reason: str = ""
    suspended: bool = False

    @property
    def active(self) -> tuple[Attempt, ...]:
        """The pods that have not ended."""
        return tuple(attempt for attempt in self.attempts if attempt.ended_at is None)

    @property
    def completions(self) -> int:
        """How often it was done; of one index once."""
        done = sum(attempt.succeeded for attempt in self.attempts if attempt.index is None)
        return done + len(self.indexes)

    @property
    def indexes(self) -> frozenset[int]:
        """The indexes that are done."""
        return frozenset(item.index for item in self.attempts if item.succeeded and item.index is not None)

    def with_attempt(self, changed: Attempt) -> JobRun:
        """The same with one pod changed, or a new one."""
        known = [changed if attempt.name == changed.name else attempt for attempt in self.attempts]
        if changed.name not in (attempt.name for attempt in self.attempts):
            known.append(changed)
        return replace(self, attempts=tuple(known))

    def as_json(self) -> dict[str, Any]:
        """In JSON's types. What was added to the first version is left out where it says nothing: that one reads it
        too."""
        raw = asdict(self)
        if not self.suspended:
            del raw["suspended"]
        defaults = {item.name: item.default for item in fields(Attempt)}
        raw["attempts"] = [
            {key: value for key, value in item.items() if key not in _SINCE_FIRST or value != defaults[key]}
            for item in raw["attempts"]
        ]
        return raw

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> JobRun:
        """The inverse of `as_json`."""
        attempts = (
            Attempt(
                **{
                    **item,
                    "last_log": tuple(item["last_log"]),
                    "codes": tuple((name, code) for name, code in item.get("codes", ())),
                }
            )
            for item in raw["attempts"]
        )
        return cls(**{**raw, "attempts": tuple(attempts)})


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
    if not _fatal(job, run) and is_complete(job, run):
        return _halt(run.active) if run.active else Finish()
    deadline = None if job.active_deadline is None else run.started_at + job.active_deadline
    reason = _why_failed(job, run, late=deadline is not None and now >= deadline)
    if reason:
        return _halt(run.active, reason) if run.active else Finish(reason=reason)
    wanted = _wanted(job, run)
    if len(run.active) > wanted:
        return _halt(run.active[wanted:])
    if len(run.active) == wanted:
        return Rest(until=deadline)
    index, due = _next(job, run)
    if now >= due:
        return Begin(index=index)
    return Rest(until=due if deadline is None else min(due, deadline))


def is_complete(job: Job, run: JobRun) -> bool:
    """Whether there are as many completions as asked for, or those that are enough; where no number is, one pod that
    succeeded says that the work is done, and the others come to their end."""
    if job.completions is None:
        return run.completions > 0 and not run.active
    if any(_is_met(rule, run.indexes) for rule in job.policies.success):
        return True
    return run.completions >= job.completions


def _is_met(rule: SuccessRule, done: frozenset[int]) -> bool:
    chosen = done if rule.indexes is None else done & rule.indexes
    least = rule.count if rule.count is not None else len(rule.indexes or ())
    return len(chosen) >= least


def failures(job: Job, run: JobRun) -> int:
    """How many pods have failed, but those that the Job says to ignore."""
    return sum(_counts(job, attempt) for attempt in run.attempts)


def failed_indexes(job: Job, run: JobRun) -> frozenset[int]:
    """The indexes that have failed more often than each may, or once as none may; none where there is no such limit."""
    limit = job.policies.limit_per_index
    if limit is None:
        return frozenset()
    failed: dict[int, int] = {}
    for attempt in run.attempts:
        if attempt.index is not None and _counts(job, attempt):
            rule = met_rule(job, attempt)
            once = rule is not None and rule[1].action is FailureAction.FAIL_INDEX
            failed[attempt.index] = failed.get(attempt.index, 0) + (limit + 1 if once else 1)
    return frozenset(index for index, times in failed.items() if times > limit) - run.indexes


def met_rule(job: Job, attempt: Attempt) -> tuple[int, FailureRule] | None:
    """The first rule that a pod which has failed meets, with its place among them."""
    if not attempt.failed or attempt.killed:
        return None
    for place, rule in enumerate(job.policies.failure):
        met = attempt.lost if rule.on_loss else matching(rule, attempt) is not None
        if met:
            return place, rule
    return None


def matching(rule: FailureRule, attempt: Attempt) -> tuple[str, int] | None:
    """The first container that has failed as the rule says, and its code."""
    for name, code in attempt.codes:
        if rule.container in ("", name) and (code in rule.codes) is not rule.inverted:
            return name, code
    return None


def _counts(job: Job, attempt: Attempt) -> bool:
    rule = met_rule(job, attempt)
    return attempt.failed and not (rule and rule[1].action is FailureAction.IGNORE)


def _fatal(job: Job, run: JobRun) -> str:
    """Why the Job has failed with one pod alone, in Kubernetes' words; empty where it has not."""
    for attempt in run.attempts if job.policies.failure else ():
        found = met_rule(job, attempt)
        if found is None or found[1].action is not FailureAction.FAIL_JOB:
            continue
        place, rule = found
        pod = f"{job.namespace}/{attempt.name}"
        which = matching(rule, attempt)
        if which is None:
            return f"Pod {pod} has condition DisruptionTarget matching FailJob rule at index {place}"
        name, code = which
        return f"Container {name} for pod {pod} failed with exit code {code} matching FailJob rule at index {place}"
    return ""


def _why_failed(job: Job, run: JobRun, *, late: bool) -> str:
    """The reason for which the Job has failed; empty where it has not."""
    failed, most = failed_indexes(job, run), job.policies.most_failed_indexes
    if _fatal(job, run):
        return FAILURE_POLICY
    if late:
        return DEADLINE
    if _too_many(job, run):
        return BACKOFF_LIMIT
    if most is not None and len(failed) > most:
        return MOST_INDEXES
    return FAILED_INDEXES if failed and len(failed) + len(run.indexes) >= (job.completions or 0) else ""


def finish_message(job: Job, run: JobRun, reason: str) -> str:
    """How it ended, in Kubernetes' words."""
    return _fatal(job, run) if reason == FAILURE_POLICY else _FINISHED[reason]


_FINISHED = {
    "": "Job completed",
    BACKOFF_LIMIT: "Job has reached the specified backoff limit",
    DEADLINE: "Job was active longer than specified deadline",
    MOST_INDEXES: "Job has exceeded the specified maximal number of failed indexes",
    FAILED_INDEXES: "Job has failed indexes",
}


def _wanted(job: Job, run: JobRun) -> int:
    """How many pods there should be now."""
    if job.completions is None:
        return len(run.active) if run.completions else job.parallelism
    return min(job.parallelism, job.completions - run.completions - len(failed_indexes(job, run)))


def _too_many(job: Job, run: JobRun) -> bool:
    """Whether it failed too often: pods that ended, or, where they are started again, the starts of those that live."""
    restarts = sum(attempt.restarts for attempt in run.active)
    past = job.on_failure and (restarts > 0 if job.backoff_limit == 0 else restarts >= job.backoff_limit)
    return failures(job, run) > job.backoff_limit or past


def _due(attempts: Iterable[Attempt]) -> float:
    """When another pod may begin after these: after the failures since the last success."""
    known = tuple(attempts)
    succeeded = max((item.ended_at or 0.0 for item in known if item.succeeded), default=float("-inf"))
    failed = [item.ended_at or 0.0 for item in known if item.failed and (item.ended_at or 0.0) >= succeeded]
    if not failed:
        return float("-inf")
    return max(failed) + min(FIRST_DELAY * 2.0 ** min(len(failed) - 1, 10), LONGEST_DELAY)


def _next(job: Job, run: JobRun) -> tuple[int | None, float]:
    """The lowest index that is neither done nor being worked on, and when its pod may begin; with a limit of its own
    for each, the one whose pod may begin first."""
    if not job.indexed:
        return None, _due(run.attempts)
    taken = run.indexes | failed_indexes(job, run) | {attempt.index for attempt in run.active}
    free = [index for index in range(job.completions or 0) if index not in taken]
    if job.policies.limit_per_index is None:
        return free[0], _due(run.attempts)
    due = {index: _due(attempt for attempt in run.attempts if attempt.index == index) for index in free}
    first = min(free, key=lambda index: due[index])
    return first, due[first]


def _halt(pods: Iterable[Attempt], reason: str = "") -> Halt:
    return Halt(names=tuple(pod.name for pod in pods), reason=reason)


def job_status(job: Job, run: JobRun, *, deleting: bool) -> JobStatus:
    """The status that callers see."""
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
        message=last.message if last else "",
        deleting=deleting,
        lost=last is not None and last.lost,
        exit_code=last.exit_code if last else None,
        started_at=None if run.suspended else run.started_at,
        finished_at=run.finished_at,
        app=app_of(job.template.labels, job.name),
        release=job.template.annotations.get(RELEASE_ANNOTATION, ""),
        last_log=last.last_log if last else (),
        completions=job.completions,
        suspended=run.suspended,
        indexes=shown_indexes(run.indexes),
        cron_job=job.owner,
        failed_indexes=shown_indexes(failed_indexes(job, run)),
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

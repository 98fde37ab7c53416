"""What the ends of a Job's pods mean for it, by its policies; pure.

After the Job controller (kubernetes/pkg/controller/job: pod_failure_policy.go, success_policy.go and
indexed_job_utils.go).
"""

from __future__ import annotations

from runtime.attempt import Attempt, JobRun
from runtime.manifest.job_policy import FailureAction, FailureRule
from runtime.manifest.model import Job


def action_for(job: Job, attempt: Attempt) -> tuple[FailureAction, int]:
    """What the end of a pod that failed by itself does, and the place of the rule that says so; -1 for none."""
    for at, rule in enumerate(job.policy.failure):
        if not attempt.killed and _matches(job, rule, attempt):
            return rule.action, at
    return FailureAction.COUNT, -1


def _matches(job: Job, rule: FailureRule, attempt: Attempt) -> bool:
    if not rule.codes:
        return rule.disrupted and attempt.lost
    return _matching(job, rule, attempt) is not None


def _matching(job: Job, rule: FailureRule, attempt: Attempt) -> tuple[str, int] | None:
    """The first container that has failed as the rule says, and its exit code."""
    codes = attempt.codes
    if not codes and attempt.exit_code:
        # As it was remembered when a pod had one container. One whose end nobody saw has no exit code.
        codes = ((job.template.container.name, attempt.exit_code),)
    for name, code in codes:
        if rule.container in ("", name) and (code in rule.codes) != rule.others:
            return name, code
    return None


def failures(job: Job, run: JobRun) -> int:
    """How many pods have failed, without those that a rule ignores."""
    return sum(item.failed and action_for(job, item)[0] is not FailureAction.IGNORE for item in run.attempts)


def why_failed(job: Job, run: JobRun) -> str:
    """How a pod failed that fails the Job by a rule, in Kubernetes' words; empty for none."""
    for item in run.attempts:
        action, at = action_for(job, item) if item.failed else (FailureAction.COUNT, -1)
        if action is FailureAction.FAIL_JOB:
            where = f"{job.namespace}/{item.name}"
            found = _matching(job, job.policy.failure[at], item)
            if found is None:
                return f"Pod {where} has condition DisruptionTarget matching FailJob rule at index {at}"
            name, code = found
            return f"Container {name} for pod {where} failed with exit code {code} matching FailJob rule at index {at}"
    return ""


def failed_indexes(job: Job, run: JobRun) -> frozenset[int]:
    """The indexes that are not tried again: they failed too often, or by a rule."""
    limit = job.policy.limit_per_index
    if limit is None:
        return frozenset()
    counts: dict[int, int] = {}
    for item in run.attempts:
        if item.index is None or not item.failed:
            continue
        action, _ = action_for(job, item)
        if action is FailureAction.FAIL_INDEX:
            counts[item.index] = limit + 1
        elif action is not FailureAction.IGNORE:
            counts[item.index] = counts.get(item.index, 0) + 1
    return frozenset(index for index, count in counts.items() if count > limit) - run.indexes


def has_succeeded(job: Job, run: JobRun) -> bool:
    """Whether a rule says that what has succeeded is enough."""
    for rule in job.policy.success:
        done = run.indexes if rule.indexes is None else run.indexes & rule.indexes
        needed = rule.count
        if needed is None:
            needed = len(rule.indexes or ())
        if len(done) >= needed:
            return True
    return False

"""One look of an autoscaler: from what was measured to the number of replicas, with all that is said of it; pure.

After Kubernetes' horizontal.go. Conditions that a look does not speak of stay as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from runtime.autoscale.calculate import (
    TOLERANCE,
    MetricError,
    Pod,
    Proposal,
    Reading,
    Tolerances,
    by_average,
    by_utilization,
)
from runtime.autoscale.pace import Memory, limit, stabilize, stabilized_word
from runtime.manifest.autoscaler import Autoscaler, Metric, Source
from runtime.model import Condition

ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """An event."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is remembered between two looks: `desired` is the number of the last one that could say it."""

    memory: Memory = field(default_factory=Memory)
    conditions: tuple[Condition, ...] = ()
    proposals: tuple[Proposal | None, ...] = ()
    desired: int = 0

    def with_condition(self, kind: str, *, true: bool, reason: str, message: str) -> Known:
        """The same with a condition, new or in its place."""
        new = Condition(type=kind, status="True" if true else "False", reason=reason, message=message)
        if all(known.type != kind for known in self.conditions):
            return replace(self, conditions=(*self.conditions, new))
        return replace(self, conditions=tuple(new if known.type == kind else known for known in self.conditions))


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """`replicas` is what it is to be scaled to, None where it stays as it is; `why` is for the event once it is."""

    known: Known
    replicas: int | None = None
    why: str = ""
    events: tuple[Said, ...] = ()


def absent(known: Known, target: str) -> Outcome:
    """The Deployment is not there."""
    problem = f'deployments.apps "{target}" not found'
    message = f"the HPA controller was unable to get the target's current scale: {problem}"
    said = Said(reason="FailedGetScale", message=problem, warning=True)
    return Outcome(known=known.with_condition(ABLE, true=False, reason=said.reason, message=message), events=(said,))


def reconcile(
    spec: Autoscaler,
    known: Known,
    current: int,
    pods: Sequence[Pod],
    readings: Sequence[Mapping[str, Reading]],
    now: float,
    *,
    rivals: Sequence[str] = (),
    selector: str = "",
) -> Outcome:
    """`readings` are those of each metric of `spec`, by pod. `rivals` are all autoscalers of the target, where there is
    more than one; `selector` is that of its pods, as text."""
    known = known.with_condition(
        ABLE,
        true=True,
        reason="SucceededGetScale",
        message="the HPA controller was able to get the target's current scale",
    )
    known = replace(known, memory=known.memory.begun(current, now))
    if current == 0:
        known = known.with_condition(
            ACTIVE,
            true=False,
            reason="ScalingDisabled",
            message="scaling is disabled since the replica count of the target is zero",
        )
        return Outcome(known=replace(known, desired=0))
    if current > spec.max_replicas:
        return _at_once(known, spec.max_replicas, "Current number of replicas above Spec.MaxReplicas")
    if current < spec.min_replicas:
        return _at_once(known, spec.min_replicas, "Current number of replicas below Spec.MinReplicas")
    if rivals:
        problem = f"pods by selector {selector} are controlled by multiple HPAs: [{' '.join(rivals)}]"
        known = known.with_condition(ACTIVE, true=False, reason="AmbiguousSelector", message=problem)
        events = (
            Said(reason="AmbiguousSelector", message=problem, warning=True),
            Said(reason="FailedComputeMetricsReplicas", message=problem, warning=True),
        )
        return Outcome(known=replace(known, proposals=()), events=events)
    return _by_metrics(spec, known, current, pods, readings, now)


def _at_once(known: Known, replicas: int, why: str) -> Outcome:
    return Outcome(known=replace(known, desired=replicas, proposals=()), replicas=replicas, why=why)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failed:
    """`message` is that of the metric's own event and condition, `outer` that of the look as a whole."""

    reason: str
    message: str
    outer: str


def _by_metrics(
    spec: Autoscaler,
    known: Known,
    current: int,
    pods: Sequence[Pod],
    readings: Sequence[Mapping[str, Reading]],
    now: float,
) -> Outcome:
    tolerances = _tolerances(spec)
    results = [
        _proposal(metric, current, pods, reading, tolerances, now)
        for metric, reading in zip(spec.metrics, readings, strict=True)
    ]
    failed = [result for result in results if isinstance(result, _Failed)]
    found = [(result, metric) for result, metric in zip(results, spec.metrics, strict=True)
             if isinstance(result, Proposal)]  # fmt: skip
    events = tuple(Said(reason=item.reason, message=item.message, warning=True) for item in failed)
    known = replace(known, proposals=tuple(None if isinstance(item, _Failed) else item for item in results))
    # The first of the largest: it is named.
    best = max(found, key=lambda item: item[0].replicas, default=None)
    if best is None or (failed and best[0].replicas < current):
        first = failed[0]
        message = f"the HPA was unable to compute the replica count: {first.message}"
        known = known.with_condition(ACTIVE, true=False, reason=first.reason, message=message)
        problem = f"invalid metrics ({len(failed)} invalid out of {len(results)}), first error is: {first.outer}"
        return Outcome(
            known=known, events=(*events, Said(reason="FailedComputeMetricsReplicas", message=problem, warning=True))
        )
    proposal, metric = best
    name = _named(metric)
    known = known.with_condition(
        ACTIVE,
        true=True,
        reason="ValidMetricFound",
        message=f"the HPA was able to successfully calculate a replica count from {name}",
    )
    return _normalized(spec, known, current, proposal.replicas, name, events, now)


def _normalized(
    spec: Autoscaler, known: Known, current: int, asked: int, name: str, events: tuple[Said, ...], now: float
) -> Outcome:
    why = f"{name} above target" if asked > current else "All metrics below target" if asked < current else ""
    stable, memory = stabilize(asked, current, spec.behavior, known.memory, now)
    word = stabilized_word(asked, stable, current, spec.behavior)
    known = replace(known, memory=memory).with_condition(ABLE, true=True, reason=word.reason, message=word.message)
    desired, word = limit(stable, current, spec.min_replicas, spec.max_replicas, spec.behavior, memory, now)
    known = known.with_condition(LIMITED, true=word.limited, reason=word.reason, message=word.message)
    known = replace(known, desired=desired)
    return Outcome(known=known, replicas=None if desired == current else desired, why=why, events=events)


def rescaled(spec: Autoscaler, outcome: Outcome, before: int, now: float) -> tuple[Known, Said]:
    """It was scaled as the outcome says: what is remembered now, and the event."""
    replicas = outcome.replicas
    assert replicas is not None
    known = outcome.known.with_condition(
        ABLE,
        true=True,
        reason="SucceededRescale",
        message=f"the HPA controller was able to update the target scale to {replicas}",
    )
    known = replace(known, memory=known.memory.scaled(spec.behavior, before, replicas, now))
    return known, Said(reason="SuccessfulRescale", message=f"New size: {replicas}; reason: {outcome.why}")


def not_rescaled(outcome: Outcome, problem: str) -> tuple[Known, Said]:
    """It could not be scaled."""
    message = f"the HPA controller was unable to update the target scale: {problem}"
    known = outcome.known.with_condition(ABLE, true=False, reason="FailedUpdateScale", message=message)
    text = f"New size: {outcome.replicas}; reason: {outcome.why}; error: {problem}"
    return known, Said(reason="FailedRescale", message=text, warning=True)


def _tolerances(spec: Autoscaler) -> Tolerances:
    up, down = (spec.behavior.up.tolerance, spec.behavior.down.tolerance) if spec.behavior else (None, None)
    return Tolerances(up=TOLERANCE if up is None else up, down=TOLERANCE if down is None else down)


def _proposal(
    metric: Metric,
    current: int,
    pods: Sequence[Pod],
    readings: Mapping[str, Reading],
    tolerances: Tolerances,
    now: float,
) -> Proposal | _Failed:
    try:
        if metric.utilization is not None:
            return by_utilization(
                current,
                metric.utilization,
                pods,
                readings,
                resource=metric.name,
                container=metric.container,
                tolerances=tolerances,
                now=now,
            )
        assert metric.average is not None
        return by_average(current, metric.average, pods, readings, resource=metric.name, tolerances=tolerances, now=now)
    except MetricError as error:
        return _failed(metric, str(error))


def _failed(metric: Metric, problem: str) -> _Failed:
    if metric.source is Source.PODS:
        outer = f"failed to get pods metric value: {problem}"
        return _Failed(reason="FailedGetPodsMetric", message=problem, outer=outer)
    what = "utilization" if metric.utilization is not None else "usage"
    message = f"failed to get {metric.name} {what}: {problem}"
    if metric.source is Source.RESOURCE:
        outer = f"failed to get {metric.name} resource metric value: {message}"
        return _Failed(reason="FailedGetResourceMetric", message=message, outer=outer)
    outer = f"failed to get {metric.container} container metric value: {message}"
    return _Failed(reason="FailedGetContainerResourceMetric", message=message, outer=outer)


def _named(metric: Metric) -> str:
    if metric.source is Source.PODS:
        return f"pods metric {metric.name}"
    if metric.utilization is None:
        return f"{metric.name} resource"
    whose = "resource" if metric.source is Source.RESOURCE else "container resource"
    return f"{metric.name} {whose} utilization (percentage of request)"

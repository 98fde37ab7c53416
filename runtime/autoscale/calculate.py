"""The number of replicas that one metric asks for; pure.

After Kubernetes' replica_calculator.go, with its integers and its order: averages and percentages are cut off, the
number of replicas is rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

CPU, MEMORY = "cpu", "memory"
TOLERANCE = 0.1
CPU_INITIALIZATION_SECONDS = 300.0
INITIAL_READINESS_SECONDS = 30.0


class MetricError(Exception):
    """No number can be said; the text is Kubernetes'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What was measured of a pod, in thousandths, over the `window` seconds until `at`."""

    value: int
    at: float = 0.0
    window: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a container of a pod asks for, in thousandths of a core and of a byte; None for what it does not say."""

    container: str
    cpu: int | None = None
    memory: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """A pod of the target. `leaving` when it is being deleted or has failed; `pending` until all of it has begun.
    `ready` is so since `since`, and not ready is so since then too. What it asks for as a `whole` comes before what its
    containers do. Times are Unix seconds."""

    name: str
    started_at: float
    since: float
    ready: bool = True
    pending: bool = False
    leaving: bool = False
    asked: tuple[Asked, ...] = ()
    whole: Asked | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerances:
    """How far from 1 the ratio of usage to target may be, on either side, without anything being done."""

    up: float = TOLERANCE
    down: float = TOLERANCE

    def hold(self, ratio: float) -> bool:
        """Whether the ratio is near enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """The number of replicas, and what it was made of: the average a pod in thousandths, and the percentage of what
    they ask for where that is the target."""

    replicas: int
    average: int
    utilization: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Groups:
    counted: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def by_utilization(
    current: int,
    target: int,
    pods: Sequence[Pod],
    readings: Mapping[str, Reading],
    *,
    resource: str,
    container: str = "",
    tolerances: Tolerances,
    now: float,
) -> Proposal:
    """For a `target` in percent of what the pods, or one container in each of them, ask for. Raises MetricError."""
    _require(pods, readings, none_of(resource))
    groups = _group(pods, readings, cpu=resource == CPU, now=now)
    values = _counted(readings, groups)
    asked = {pod.name: _asked(pod, resource, container) for pod in pods}
    ratio, percent, average = _percent(values, asked, target)
    rest = Proposal(replicas=current, average=average, utilization=percent)
    up = bool(groups.unready) and ratio > 1.0
    if not up and not groups.missing:
        if tolerances.hold(ratio):
            return rest
        return Proposal(replicas=math.ceil(ratio * groups.counted), average=average, utilization=percent)
    if ratio < 1.0:
        values |= {name: asked[name] * max(100, target) // 100 for name in groups.missing}
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if up:
        values |= dict.fromkeys(groups.unready, 0)
    again, _, _ = _percent(values, asked, target)
    replicas = _settled(current, ratio, again, len(values), tolerances)
    return Proposal(replicas=replicas, average=average, utilization=percent)


def by_average(
    current: int,
    target: int,
    pods: Sequence[Pod],
    readings: Mapping[str, Reading],
    *,
    resource: str,
    tolerances: Tolerances,
    now: float,
) -> Proposal:
    """For a `target` in thousandths for each pod, of a resource or of what is counted. Raises MetricError."""
    _require(pods, readings, none_of(resource))
    groups = _group(pods, readings, cpu=resource == CPU, now=now)
    values = _counted(readings, groups)
    average = sum(values.values()) // len(values)
    ratio = average / target
    up = bool(groups.unready) and ratio > 1.0
    if not up and not groups.missing:
        if tolerances.hold(ratio):
            return Proposal(replicas=current, average=average)
        return Proposal(replicas=math.ceil(ratio * groups.counted), average=average)
    values |= dict.fromkeys(groups.missing, target if ratio < 1.0 else 0)
    if up:
        values |= dict.fromkeys(groups.unready, 0)
    again = sum(values.values()) // len(values) / target
    return Proposal(replicas=_settled(current, ratio, again, len(values), tolerances), average=average)


def none_of(name: str) -> str:
    """The words for it that nothing was measured."""
    if name in (CPU, MEMORY):
        return f"unable to get metrics for resource {name}: no metrics returned from resource metrics API"
    return f"unable to get metric {name}: no metrics returned from custom metrics API"


def _settled(current: int, ratio: float, again: float, counted: int, tolerances: Tolerances) -> int:
    """With the pods that were set aside: nothing where that would turn the direction round."""
    if tolerances.hold(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current
    replicas = math.ceil(again * counted)
    if (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current):
        return current
    return replicas


def _require(pods: Sequence[Pod], readings: Mapping[str, Reading], missing: str) -> None:
    if not readings:
        raise MetricError(missing)
    if not pods:
        raise MetricError("no pods returned by selector while calculating replica count")


def _counted(readings: Mapping[str, Reading], groups: _Groups) -> dict[str, int]:
    aside = groups.unready | groups.ignored
    values = {name: reading.value for name, reading in readings.items() if name not in aside}
    if not values:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    return values


def _percent(values: Mapping[str, int], asked: Mapping[str, int], target: int) -> tuple[float, int, int]:
    """(ratio to the target, percent, average), of the values of pods that are known."""
    known = [(value, asked[name]) for name, value in values.items() if name in asked]
    wanted = sum(each for _, each in known)
    if not wanted:
        raise MetricError("no metrics returned matched known pods")
    used = sum(value for value, _ in known)
    percent = used * 100 // wanted
    return percent / target, percent, used // len(known)


def _asked(pod: Pod, resource: str, container: str) -> int:
    whole = None if pod.whole is None or container else pod.whole.cpu if resource == CPU else pod.whole.memory
    if whole is not None:
        return whole
    total = 0
    for said in pod.asked:
        if container not in ("", said.container):
            continue
        amount = said.cpu if resource == CPU else said.memory
        if amount is None:
            raise MetricError(f"missing request for {resource} in container {said.container} of Pod {pod.name}")
        total += amount
    return total


def _group(pods: Iterable[Pod], readings: Mapping[str, Reading], *, cpu: bool, now: float) -> _Groups:
    counted = 0
    unready, missing, ignored = set(), set(), set()
    for pod in pods:
        reading = readings.get(pod.name)
        if pod.leaving:
            ignored.add(pod.name)
        elif pod.pending:
            unready.add(pod.name)
        elif reading is None:
            missing.add(pod.name)
        elif cpu and _begins(pod, reading, now):
            unready.add(pod.name)
        else:
            counted += 1
    return _Groups(counted=counted, unready=frozenset(unready), missing=frozenset(missing), ignored=frozenset(ignored))


def _begins(pod: Pod, reading: Reading, now: float) -> bool:
    """Whether what its CPU does now says nothing yet of what it will do."""
    if pod.started_at + CPU_INITIALIZATION_SECONDS > now:
        return not pod.ready or reading.at < pod.since + reading.window
    return not pod.ready and pod.started_at + INITIAL_READINESS_SECONDS > pod.since

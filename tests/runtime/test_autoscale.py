"""The autoscaler's arithmetic: vectors of Kubernetes' own tables and documentation, and generated histories.

Figures of kubernetes/pkg/controller/podautoscaler: replica_calculator_test.go, horizontal_test.go; and of the page
"Horizontal Pod Autoscaling" of its documentation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.autoscale.calculate import (
    Asked,
    MetricError,
    Pod,
    Proposal,
    Reading,
    Tolerances,
    by_average,
    by_utilization,
)
from runtime.autoscale.pace import (
    Change,
    Memory,
    Recommendation,
    changed,
    limit,
    stabilize,
    stabilized_word,
)
from runtime.autoscale.reconcile import Known, Outcome, absent, not_rescaled, reconcile, rescaled
from runtime.manifest.autoscaler import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    Autoscaler,
    Behavior,
    Metric,
    Rules,
    ScalingPolicy,
    Select,
    Source,
)

NOW = 1_000_000.0
LONG_AGO = NOW - 3600
HOT, COLD = "hot", "cold"
R, U, P, F, D, H = "ready", "unready", "pending", "failed", "deleted", HOT
"""How a pod stands: hot is one that has just begun, and was ready since."""


def pod(number: int, how: str = R, cpu: int | None = 1000, *, containers: int = 2) -> Pod:
    begun = NOW - 1 if how == HOT else LONG_AGO
    return Pod(
        name=f"pod-{number}",
        started_at=begun,
        since=begun,
        ready=how in (R, HOT),
        pending=how == P,
        leaving=how in (F, D),
        asked=tuple(Asked(container=f"c{index}", cpu=cpu) for index in range(containers)),
    )


def readings(levels: Sequence[int | None]) -> dict[str, Reading]:
    return {
        f"pod-{number}": Reading(value=level, at=NOW, window=60.0)
        for number, level in enumerate(levels)
        if level is not None
    }


@dataclass(frozen=True)
class Cpu:
    """Two containers in each pod, each of which uses its level and asks for its request."""

    current: int
    levels: Sequence[int | None]
    target: int
    replicas: int
    utilization: int
    average: int
    how: Sequence[str] = ()
    requests: Sequence[int] = ()


CPU = {
    "up": Cpu(3, [300, 500, 700], 30, 5, 50, 1000),
    "up, one unready counts as 0": Cpu(3, [300, 500, 700], 30, 4, 60, 1200, [U, R, R]),
    "up, one that has just begun counts as 0": Cpu(3, [300, 500, 700], 30, 4, 60, 1200, [H, R, R]),
    "up, two unready: no change": Cpu(3, [400, 500, 700], 30, 3, 40, 800, [R, U, U]),
    "up, two that have just begun: no change": Cpu(3, [400, 500, 700], 30, 3, 40, 800, [R, H, H]),
    "up, failed pods are nothing": Cpu(2, [500, 700], 30, 4, 60, 1200, [R, R, F, F]),
    "up, pods being deleted are nothing": Cpu(2, [500, 700], 30, 4, 60, 1200, [R, R, D, D]),
    "down": Cpu(5, [100, 300, 500, 250, 250], 50, 3, 28, 560),
    "down, unready are set aside": Cpu(5, [100, 300, 500, 250, 250], 50, 2, 30, 600, [R, R, R, U, U]),
    "down, pending are set aside": Cpu(5, [100], 50, 1, 10, 200, [R, P, P, P, P]),
    "down, those that have just begun are set aside": Cpu(
        5, [100, 300, 500, 250, 250], 50, 2, 30, 600, [R, R, R, H, H]
    ),
    "down, failed pods are nothing": Cpu(5, [100, 300, 500, 250, 250], 50, 3, 28, 560, [R, R, R, R, R, F, F]),
    "down, pods being deleted are nothing": Cpu(5, [100, 300, 500, 250, 250], 50, 3, 28, 560, [R, R, R, R, R, D, D]),
    "within the tolerance": Cpu(3, [1010, 1030, 1020], 100, 3, 102, 2040, (), [900, 1000, 1100]),
    "metrics of pods that are gone": Cpu(4, [4000, 9500, 3000, 7000, 3200, 2000], 100, 24, 587, 11750),
    "missing count as 100 % on the way down": Cpu(4, [400, 95], 100, 3, 24, 495),
    "missing, as asked: no change": Cpu(2, [1000], 100, 2, 100, 2000),
    "missing, above: no change": Cpu(2, [1900], 100, 2, 190, 3800),
    "missing, below: no change": Cpu(2, [600], 100, 2, 60, 1200),
    "missing and unready: no change": Cpu(3, [100, 450], 50, 3, 45, 900, [U, R, R]),
    "missing and just begun: no change": Cpu(3, [100, 450], 50, 3, 45, 900, [H, R, R]),
    "missing and unready, up": Cpu(3, [100, 2000], 50, 4, 200, 4000, [U, R, R]),
    "missing and just begun, up": Cpu(3, [100, 2000], 50, 4, 200, 4000, [H, R, R]),
    "missing and unready, down": Cpu(4, [100, 100, 100], 50, 3, 10, 200, [U, R, R, R]),
    "just past the tolerance": Cpu(
        10, [150] * 10, 56, 9, 50, 300, (), [400, 200, 310, 290, 302, 298, 301, 299, 300, 300]
    ),
    "just within the tolerance": Cpu(
        10, [150] * 10, 55, 10, 50, 300, (), [400, 200, 310, 290, 302, 298, 301, 299, 300, 300]
    ),
}


@pytest.mark.parametrize("name", CPU)
def test_replicas_by_utilization(name: str) -> None:
    case = CPU[name]
    how = case.how or [R] * case.current
    requests = case.requests or [1000] * len(how)
    pods = [pod(number, each, cpu) for number, (each, cpu) in enumerate(zip(how, requests, strict=True))]
    levels = [None if level is None else 2 * level for level in case.levels]
    found = by_utilization(
        case.current, case.target, pods, readings(levels), resource="cpu", tolerances=Tolerances(), now=NOW
    )
    assert found == Proposal(replicas=case.replicas, utilization=case.utilization, average=case.average)


@dataclass(frozen=True)
class Average:
    """A metric of pods: its readiness is not looked at, only what it does for CPU."""

    current: int
    levels: Sequence[int | None]
    target: int
    replicas: int
    average: int
    how: Sequence[str] = ()


AVERAGE = {
    "up": Average(3, [20000, 10000, 30000], 15000, 4, 20000),
    "up, unready counts in full": Average(3, [50000, 10000, 30000], 15000, 6, 30000, [R, R, H]),
    "up, two unready count in full": Average(3, [50000, 15000, 30000], 15000, 7, 31666, [H, R, H]),
    "down": Average(5, [12000] * 5, 20000, 3, 12000),
    "within the tolerance": Average(3, [20000, 21000, 21000], 20000, 3, 20666),
    "near the target": Average(3, [20000, 20001, 21000], 20000, 3, 20333),
    "a tenth above": Average(1, [8600], 4400, 2, 8600),
    "missing count as 0 on the way up": Average(3, [30000, 30000, None], 15000, 4, 30000),
    "missing count as the target on the way down": Average(3, [2000, 2000, None], 15000, 2, 2000),
    "pending count as 0 on the way up": Average(2, [30000], 10000, 3, 30000, [R, P]),
}


@pytest.mark.parametrize("name", AVERAGE)
def test_replicas_by_average(name: str) -> None:
    case = AVERAGE[name]
    pods = [pod(number, each) for number, each in enumerate(case.how or [R] * case.current)]
    found = by_average(
        case.current, case.target, pods, readings(case.levels), resource="qps", tolerances=Tolerances(), now=NOW
    )
    assert found == Proposal(replicas=case.replicas, average=case.average)


@pytest.mark.parametrize(
    ("how", "levels", "cpu", "message"),
    [
        ([R] * 4, [], 1000, "unable to get metrics for resource cpu: no metrics returned from resource metrics API"),
        ([], [100], 1000, "no pods returned by selector while calculating replica count"),
        ([U], [100], 1000, "did not receive metrics for targeted pods (pods might be unready)"),
        ([R], [100], None, "missing request for cpu in container c0 of Pod pod-0"),
        ([R], [None, 100], 1000, "no metrics returned matched known pods"),
    ],
)
def test_no_number_can_be_said(how: list[str], levels: list[int | None], cpu: int | None, message: str) -> None:
    pods = [pod(number, each, cpu) for number, each in enumerate(how)]
    with pytest.raises(MetricError) as error:
        by_utilization(1, 50, pods, readings(levels), resource="cpu", tolerances=Tolerances(), now=NOW)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("started", "ready", "since", "at", "window", "counts"),
    [
        # In the first five minutes: ready, and a whole window of it measured.
        (60, True, 30, 0, 30, True),
        (60, True, 30, 0, 60, False),
        (60, False, 60, 0, 30, False),
        # Later: ready, or was ready once. One that was never ready says nothing.
        (600, False, 595, 0, 30, False),
        (600, False, 60, 0, 30, True),
        (600, True, 60, 0, 30, True),
        (600, True, 1, 0, 30, True),
    ],
)
def test_when_the_cpu_of_a_pod_counts(
    started: float, ready: bool, since: float, at: float, window: float, counts: bool
) -> None:
    other = pod(0)
    asked = replace(pod(1), started_at=NOW - started, ready=ready, since=NOW - since)
    found = by_utilization(
        2,
        50,
        [other, asked],
        {"pod-0": Reading(value=1000), "pod-1": Reading(value=500, at=NOW - at, window=window)},
        resource="cpu",
        tolerances=Tolerances(),
        now=NOW,
    )
    assert found.utilization == ((1000 + 500) * 100 // 4000 if counts else 50)
    # Memory is what it is.
    memory = [replace(each, asked=(Asked(container="c", memory=2000),)) for each in (other, asked)]
    values = {"pod-0": Reading(value=1000), "pod-1": Reading(value=500)}
    found = by_utilization(2, 50, memory, values, resource="memory", tolerances=Tolerances(), now=NOW)
    assert found.utilization == 37


def test_one_container_alone() -> None:
    pods = [replace(pod(0), asked=(Asked(container="web", cpu=1000), Asked(container="log")))]
    found = by_utilization(
        1, 50, pods, {"pod-0": Reading(value=900)}, resource="cpu", container="web", tolerances=Tolerances(), now=NOW
    )
    assert (found.replicas, found.utilization) == (2, 90)


@pytest.mark.parametrize(
    ("up", "down", "level", "replicas"),
    [(0.1, 0.1, 54, 10), (0.05, 0.1, 54, 11), (0.0, 0.1, 51, 11), (0.1, 0.0, 49, 10), (0.1, 0.5, 30, 10)],
)
def test_a_tolerance_of_each_direction(up: float, down: float, level: int, replicas: int) -> None:
    pods = [pod(number, containers=1) for number in range(10)]
    values = readings([level * 10] * 10)
    found = by_utilization(10, 50, pods, values, resource="cpu", tolerances=Tolerances(up=up, down=down), now=NOW)
    assert found.replicas == replicas


def rules(pods: int = 0, pods_period: int = 0, percent: int = 0, percent_period: int = 0, window: int = 0) -> Rules:
    policies = []
    if pods:
        policies.append(ScalingPolicy(percent=False, value=pods, period=pods_period))
    if percent:
        policies.append(ScalingPolicy(percent=True, value=percent, period=percent_period))
    return Rules(window=window, select=Select.MAX, policies=tuple(policies))


def spread(changes: Sequence[int], period: int) -> tuple[Change, ...]:
    """In the middle of equal parts of the period that ends now, the latest last."""
    part = period / len(changes)
    return tuple(
        Change(replicas=change, at=NOW - int(period - part * (index + 1) + part / 2))
        for index, change in enumerate(changes)
    )


UP, DOWN = "up", "down"
THREE = (1, 5, 9)
FOUR = (8, 12, 9, 11)

# name: (least, most, current, desired, expected, reason, direction, rules, ups, downs)
LIMITS: dict[str, tuple[int, int, int, int, int, str, str, Rules | None, Sequence[int], Sequence[int]]] = {
    "within range": (3, 8, 5, 7, 7, "DesiredWithinRange", UP, None, (), ()),
    "below the least": (2, 8, 3, 1, 2, "TooFewReplicas", DOWN, None, (), ()),
    "most is the limit": (1, 10, 20, 1000, 10, "TooManyReplicas", UP, None, (), ()),
    "more than the most": (100, 150, 100, 1000, 150, "TooManyReplicas", UP, None, (), ()),
    "percent is rounded up": (1, 2000, 3, 1000, 4, "ScaleUpLimit", UP, rules(0, 0, 1, 60), (), ()),
    "pods down": (3, 2000, 1000, 3, 980, "ScaleDownLimit", DOWN, rules(20, 60), (), ()),
    "default up": (1, 1000, 10, 50, 20, "ScaleUpLimit", UP, None, (), ()),
    "pods more than percent": (1, 1000, 10, 500, 110, "ScaleUpLimit", UP, rules(100, 60, 100, 60), (), ()),
    "percent more than pods": (1, 1000, 10, 500, 20, "ScaleUpLimit", UP, rules(2, 60, 100, 60), (), ()),
    "large pods": (1, 1000, 10, 50, 50, "DesiredWithinRange", UP, rules(100, 60), (), ()),
    "very large pods": (1, 1000, 10, 50, 50, "DesiredWithinRange", UP, rules(10000, 60), (), ()),
    "pods up": (1, 1000, 10, 50, 40, "ScaleUpLimit", UP, rules(30, 60), (), ()),
    "percent up": (1, 1000, 10, 50, 30, "ScaleUpLimit", UP, rules(0, 0, 200, 60), (), ()),
    "down, pods more than percent": (1, 1000, 100, 2, 80, "ScaleDownLimit", DOWN, rules(20, 60, 1, 60), (), ()),
    "down, a few pods": (1, 1000, 100, 2, 98, "ScaleDownLimit", DOWN, rules(2, 60, 1, 60), (), ()),
    "down, many pods": (1, 1000, 10, 0, 1, "TooFewReplicas", DOWN, rules(100, 60), (), ()),
    "down, all in percent": (5, 1000, 10, 2, 5, "TooFewReplicas", DOWN, rules(0, 0, 100, 60), (), ()),
    "down, by pods": (1, 1000, 10, 2, 5, "ScaleDownLimit", DOWN, rules(5, 60), (), ()),
    "down, by percent": (1, 1000, 10, 5, 5, "DesiredWithinRange", DOWN, rules(0, 0, 50, 60), (), ()),
    "past, many pods": (1, 200, 100, 500, 200, "TooManyReplicas", UP, rules(300, 60), THREE, ()),
    "past, much in percent": (1, 200, 100, 500, 200, "TooManyReplicas", UP, rules(0, 0, 10000, 60), THREE, ()),
    "past, no more for now": (1, 1000, 100, 500, 100, "ScaleUpLimit", UP, rules(5, 120), THREE, ()),
    "past, pods": (1, 1000, 100, 500, 235, "ScaleUpLimit", UP, rules(150, 120), THREE, ()),
    "past, percent": (1, 1000, 100, 500, 255, "ScaleUpLimit", UP, rules(0, 0, 200, 120), THREE, ()),
    "past, both ways": (1, 1000, 6, 24, 16, "ScaleUpLimit", UP, rules(0, 0, 300, 300), (4,), (2,)),
    "past, down by default": (1, 1000, 10, 5, 5, "DesiredWithinRange", DOWN, None, (), THREE),
    "past, down, many pods": (1, 1000, 100, 0, 1, "TooFewReplicas", DOWN, rules(115, 120), (), THREE),
    "past, down, more pods": (5, 1000, 100, 0, 5, "TooFewReplicas", DOWN, rules(130, 120), (), THREE),
    "past, down, all": (5, 1000, 100, 2, 5, "TooFewReplicas", DOWN, rules(0, 0, 100, 120), (), THREE),
    "past, down, no more for now": (1, 1000, 100, 2, 100, "ScaleDownLimit", DOWN, rules(5, 120), (), THREE),
    "past, down, half": (1, 1000, 100, 0, 56, "ScaleDownLimit", DOWN, rules(0, 0, 50, 120), (), (2, 4, 6)),
    "past, down, both ways": (1, 1000, 10, 1, 6, "ScaleDownLimit", DOWN, rules(0, 0, 50, 180), (2,), (4,)),
    "past, down, a tenth": (1, 1000, 100, 0, 100, "ScaleDownLimit", DOWN, rules(0, 0, 10, 120), (), (10, 10, 10)),
    "past, below zero": (1, 1000, 10, 5, 5, "DesiredWithinRange", DOWN, rules(0, 0, 1000, 120), (), (10, 10, 10)),
    "two periods, up": (1, 1000, 100, 200, 200, "DesiredWithinRange", UP, rules(1000, 120, 100, 60), FOUR, ()),
    "two short periods, up": (1, 1000, 100, 200, 200, "DesiredWithinRange", UP, rules(1000, 30, 100, 60), FOUR, ()),
    "two periods, down": (1, 1000, 100, 5, 5, "DesiredWithinRange", DOWN, rules(1000, 120, 100, 60), (), FOUR),
    "two short periods, down": (1, 1000, 100, 5, 5, "DesiredWithinRange", DOWN, rules(1000, 30, 100, 60), (), FOUR),
}


@pytest.mark.parametrize("name", LIMITS)
def test_how_far_in_one_step(name: str) -> None:
    least, most, current, desired, expected, reason, direction, given_rules, ups, downs = LIMITS[name]
    behavior = Behavior(
        up=given_rules if given_rules and direction == UP else DEFAULT_UP,
        down=given_rules if given_rules and direction == DOWN else DEFAULT_DOWN,
    )
    memory = Memory(ups=spread(ups, 120) if ups else (), downs=spread(downs, 120) if downs else ())
    found, word = limit(desired, current, least, most, behavior, memory, NOW)
    assert (found, word.reason) == (expected, reason)
    assert word.limited == (reason != "DesiredWithinRange")


@pytest.mark.parametrize(
    ("current", "desired", "least", "most", "expected", "reason"),
    [
        (5, 7, 3, 8, 7, "DesiredWithinRange"),
        (3, 1, 2, 8, 2, "TooFewReplicas"),
        (20, 1000, 1, 10, 10, "TooManyReplicas"),
        (3, 1000, 1, 2000, 6, "ScaleUpLimit"),
        (1, 1000, 1, 2000, 4, "ScaleUpLimit"),
    ],
)
def test_limits_without_a_behavior(
    current: int, desired: int, least: int, most: int, expected: int, reason: str
) -> None:
    found, word = limit(desired, current, least, most, None, Memory(), NOW)
    assert (found, word.reason) == (expected, reason)


@pytest.mark.parametrize(("current", "up", "down"), [(1, 2, None), (5, None, 3)])
def test_the_policy_that_changes_least(current: int, up: int | None, down: int | None) -> None:
    both = replace(rules(2, 60, 50, 60), select=Select.MIN)
    behavior = Behavior(up=both, down=both)
    if up is not None:
        assert limit(100, current, 1, 100, behavior, Memory(), NOW)[0] == up
    if down is not None:
        assert limit(1, current, 1, 100, behavior, Memory(), NOW)[0] == down


def test_a_direction_that_is_disabled() -> None:
    none = replace(rules(2, 60), select=Select.DISABLED)
    for desired in (1, 100):
        found, word = limit(desired, 5, 1, 100, Behavior(up=none, down=none), Memory(), NOW)
        assert (found, word.limited) == (5, True)


# name: (past as (replicas, minutes ago), current, desired, expected, up window, down window, past afterwards)
PAST: dict[str, tuple[Sequence[tuple[int, float]], int, int, int, int | None, int, Sequence[int]]] = {
    "no past, down": ([], 100, 5, 5, 0, 0, [5]),
    "down": ([(4, 2), (5, 1)], 100, 3, 5, 0, 180, [4, 5, 3]),
    "up": ([(4, 2), (5, 1)], 1, 7, 4, 300, 0, [4, 5, 7]),
    "no fewer before, down": ([(1, 2), (2, 1)], 100, 3, 3, 300, 0, [1, 2, 3]),
    "no more before, up": ([(4, 2), (5, 1)], 1, 3, 3, 0, 300, [4, 5, 3]),
    "too long ago, down": ([(10, 10), (9, 9)], 100, 3, 3, 0, 0, [10, 3]),
    "too long ago, up": ([(10, 10), (9, 9)], 1, 100, 100, 0, 0, [10, 100]),
    "the latest that is too old goes": ([(10, 10), (4, 1), (5, 2), (9, 9)], 100, 3, 5, 0, 180, [10, 4, 5, 3]),
    "the only one that is too old goes": ([(10, 100), (6, 1), (5, 2), (9, 3)], 1, 100, 5, 300, 0, [100, 6, 5, 9]),
    "not up when less is asked": ([(2, 100), (3, 3)], 2, 1, 2, 300, 300, [1, 3]),
    "not down when more is asked": ([(2, 100), (1, 3)], 2, 3, 2, 300, 300, [3, 1]),
    "no behavior, no past": ([], 5, 5, 5, None, 0, [5]),
    "no behavior": ([(4, 2), (5, 1)], 5, 3, 5, None, 0, [4, 5, 3]),
    "no behavior, fewer before": ([(1, 2), (2, 1)], 5, 3, 3, None, 0, [1, 2, 3]),
    "no behavior, too long ago": ([(10, 10), (9, 9)], 5, 3, 3, None, 0, [10, 3]),
    "no behavior, one is too old": ([(10, 10), (4, 1), (5, 2), (9, 9)], 5, 3, 5, None, 0, [10, 4, 5, 3]),
}


@pytest.mark.parametrize("name", PAST)
def test_what_was_asked_before(name: str) -> None:
    past, current, desired, expected, up, down, after = PAST[name]
    memory = Memory(recommendations=tuple(Recommendation(replicas=each, at=NOW - 60 * ago) for each, ago in past))
    behavior = None
    if up is not None:
        behavior = Behavior(up=replace(DEFAULT_UP, window=up), down=replace(DEFAULT_DOWN, window=down))
    found, memory = stabilize(desired, current, behavior, memory, NOW)
    assert found == expected
    assert [item.replicas for item in memory.recommendations] == after
    reason = "ReadyForNewScale"
    if found != desired:
        reason = "ScaleUpStabilized" if behavior and desired >= current else "ScaleDownStabilized"
    assert stabilized_word(desired, found, current, behavior).reason == reason


# (past as (replicas, seconds ago), rules, past afterwards, changed in the last 60 s before)
CHANGES: list[tuple[Sequence[tuple[int, float]], Rules | None, Sequence[tuple[int, bool]], int]] = [
    ([], None, [], 0),
    ([], rules(10, 60, 100, 60), [(5, False)], 0),
    ([(7, 61)], None, [(7, False)], 0),
    ([(7, 61)], rules(10, 60, 100, 60), [(5, False)], 0),
    ([(7, 58)], rules(10, 60, 100, 60), [(7, False), (5, False)], 7),
    ([(7, 61), (6, 59)], rules(10, 60), [(5, False), (6, False)], 6),
    (
        [(8, 29), (6, 59), (7, 61), (9, 61)],
        rules(10, 60, 100, 30),
        [(8, False), (6, False), (7, True), (5, False)],
        14,
    ),
    ([(7, 58), (6, 59)], rules(10, 120, 100, 30), [(7, False), (6, False), (5, False)], 13),
]


@pytest.mark.parametrize(("past", "given_rules", "after", "before"), CHANGES)
def test_changes_are_remembered_for_the_longest_period(
    past: Sequence[tuple[int, float]], given_rules: Rules | None, after: Sequence[tuple[int, bool]], before: int
) -> None:
    changes = tuple(Change(replicas=each, at=NOW - ago) for each, ago in past)
    behavior = Behavior(up=given_rules, down=given_rules) if given_rules else None
    assert changed(changes, 60, NOW) == before
    up = Memory(ups=changes).scaled(behavior, 10, 15, NOW)
    down = Memory(downs=changes).scaled(behavior, 10, 5, NOW)
    for found in (up.ups, down.downs):
        assert [(item.replicas, item.outdated) for item in found] == list(after)


def spec(**more: object) -> Autoscaler:
    values = {
        "namespace": "default",
        "name": "web",
        "target": "web",
        "min_replicas": 2,
        "max_replicas": 6,
        "metrics": (Metric(source=Source.RESOURCE, name="cpu", utilization=30),),
    }
    return Autoscaler(**{**values, **more})  # type: ignore[arg-type]


def reasons(known: Known) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in known.conditions}


def one(case: Cpu, of: Autoscaler, known: Known | None = None) -> Outcome:
    pods = [pod(number, each) for number, each in enumerate(case.how or [R] * case.current)]
    levels = [None if level is None else 2 * level for level in case.levels]
    return reconcile(of, known or Known(), case.current, pods, [readings(levels)] * len(of.metrics), NOW)


QPS = Metric(source=Source.PODS, name="requests_per_second", average=15_000)
OK = {
    "AbleToScale": ("True", "SucceededRescale"),
    "ScalingActive": ("True", "ValidMetricFound"),
    "ScalingLimited": ("False", "DesiredWithinRange"),
}
STAYS = {**OK, "AbleToScale": ("True", "ReadyForNewScale")}
FAILED = {
    "AbleToScale": ("True", "SucceededGetScale"),
    "ScalingActive": ("False", "FailedGetResourceMetric"),
}
GONE = Memory(recommendations=(Recommendation(replicas=0, at=NOW - 600),))
"""A past in which nothing was asked for: it may shrink."""

# name: (spec, current, levels of one container, how, replicas or None, conditions)
LOOKS: dict[str, tuple[Autoscaler, int, list[int | None], Sequence[str], int | None, dict[str, tuple[str, str]]]] = {
    "up": (spec(), 3, [300, 500, 700], (), 5, OK),
    "up, unready: no change": (spec(), 3, [400, 500, 700], [R, U, U], None, STAYS),
    "up, just begun: no change": (spec(), 3, [400, 500, 700], [R, H, H], None, STAYS),
    "up, failed are nothing": (spec(), 2, [500, 700], [R, R, F, F], 4, OK),
    "up, those being deleted are nothing": (spec(), 2, [500, 700], [R, R, D, D], 4, OK),
    "down, unready are set aside": (
        spec(metrics=(Metric(source=Source.RESOURCE, name="cpu", utilization=50),)),
        5, [100, 300, 500, 250, 250], [R, R, R, U, U], 2, OK,
    ),
    "down": (
        spec(metrics=(Metric(source=Source.RESOURCE, name="cpu", utilization=50),)),
        5, [100, 300, 500, 250, 250], (), 3, OK,
    ),
    "within the tolerance": (
        spec(min_replicas=1, max_replicas=5, metrics=(Metric(source=Source.RESOURCE, name="cpu", utilization=100),)),
        3, [1010, 1030, 1020], (), None, STAYS,
    ),
    "more than the most": (
        spec(), 3, [8000, 9500, 1000], (), 6, {**OK, "ScalingLimited": ("True", "TooManyReplicas")},
    ),
    "fewer than the least": (
        spec(), 3, [10, 10, 10], (), 2, {**OK, "ScalingLimited": ("True", "TooFewReplicas")},
    ),
    "faster than twice": (
        spec(max_replicas=100), 3, [8000, 9500, 1000], (), 6, {**OK, "ScalingLimited": ("True", "ScaleUpLimit")},
    ),
    "below the least: at once": (spec(), 1, [0], (), 2, {"AbleToScale": ("True", "SucceededRescale")}),
    "above the most: at once": (
        spec(max_replicas=5), 6, [8000, 9500, 1000], (), 5, {"AbleToScale": ("True", "SucceededRescale")},
    ),
    "switched off": (
        spec(), 0, [], (), None,
        {"AbleToScale": ("True", "SucceededGetScale"), "ScalingActive": ("False", "ScalingDisabled")},
    ),
    "nothing is measured": (spec(), 4, [], (), None, FAILED),
    "one metric fails, up": (spec(metrics=(*spec().metrics, replace(spec().metrics[0], name="memory"))),
                             3, [300, 500, 700], (), 5, OK),
    "one metric fails, down": (
        spec(metrics=(replace(spec().metrics[0], utilization=50), replace(spec().metrics[0], name="memory"))),
        5, [100, 300, 500, 250, 250], (), None, FAILED,
    ),
    "the larger of two": (
        spec(metrics=(replace(spec().metrics[0], utilization=90), spec().metrics[0])), 3, [300, 500, 700], (), 5, OK,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS)
def test_a_look(name: str) -> None:
    of, current, levels, how, replicas, conditions = LOOKS[name]
    outcome = one(Cpu(current, levels, 0, 0, 0, 0, how), of, Known(memory=GONE))
    assert outcome.replicas == replicas
    known = outcome.known
    if replicas is not None:
        known, said = rescaled(of, outcome, current, NOW)
        assert (said.reason, said.warning) == ("SuccessfulRescale", False)
        assert said.message.startswith(f"New size: {replicas}; reason: ")
    assert reasons(known) == conditions


def test_the_words() -> None:
    up = one(CPU["up"], spec())
    assert up.why == "cpu resource utilization (percentage of request) above target"
    assert up.known.proposals == (Proposal(replicas=5, average=1000, utilization=50),)
    known, said = rescaled(spec(), up, 3, NOW)
    assert said.message == "New size: 5; reason: cpu resource utilization (percentage of request) above target"
    messages = {condition.type: condition.message for condition in known.conditions}
    assert messages["AbleToScale"] == "the HPA controller was able to update the target scale to 5"
    assert messages["ScalingActive"].endswith("count from cpu resource utilization (percentage of request)")
    failed, said = not_rescaled(up, "no")
    assert reasons(failed)["AbleToScale"] == ("False", "FailedUpdateScale")
    assert said.reason == "FailedRescale"
    down = one(CPU["down"], spec(metrics=(replace(spec().metrics[0], utilization=50),)), Known(memory=GONE))
    assert down.why == "All metrics below target"
    stays = one(CPU["down"], spec(metrics=(replace(spec().metrics[0], utilization=50),)))
    assert stays.replicas is None
    assert reasons(stays.known)["AbleToScale"] == ("True", "ScaleDownStabilized")
    qps = reconcile(spec(metrics=(QPS,)), Known(), 3, [pod(n) for n in range(3)], [readings([20_000] * 3)], NOW)
    assert qps.why == "pods metric requests_per_second above target"
    gone = absent(Known(), "web")
    assert gone.events[0].message == 'deployments.apps "web" not found'
    assert reasons(gone.known) == {"AbleToScale": ("False", "FailedGetScale")}


def test_what_failed_is_said_of_each_metric_and_of_all() -> None:
    none = "unable to get metrics for resource cpu: no metrics returned from resource metrics API"
    container = Metric(source=Source.CONTAINER, name="cpu", container="web", average=1)
    three = spec(metrics=(*spec().metrics, QPS, container))
    outcome = reconcile(three, Known(), 3, [pod(0)], [{}, {}, {}], NOW)
    assert [(said.reason, said.message) for said in outcome.events] == [
        ("FailedGetResourceMetric", f"failed to get cpu utilization: {none}"),
        (
            "FailedGetPodsMetric",
            "unable to get metric requests_per_second: no metrics returned from custom metrics API",
        ),
        ("FailedGetContainerResourceMetric", f"failed to get cpu usage: {none}"),
        (
            "FailedComputeMetricsReplicas",
            "invalid metrics (3 invalid out of 3), first error is: failed to get cpu resource metric value: "
            f"failed to get cpu utilization: {none}",
        ),
    ]
    assert all(said.warning for said in outcome.events)
    (active,) = (item for item in outcome.known.conditions if item.type == "ScalingActive")
    assert active.message == f"the HPA was unable to compute the replica count: failed to get cpu utilization: {none}"
    known = Known(memory=GONE)
    assert reconcile(three, known, 3, [pod(0)], [readings([9000]), {}, {}], NOW).replicas == 6, "one that is higher"


def test_two_autoscalers_of_one_deployment() -> None:
    outcome = reconcile(
        spec(), Known(), 3, [pod(0)], [readings([9000])], NOW, rivals=("default/a", "default/b"), selector="app=web"
    )
    message = "pods by selector app=web are controlled by multiple HPAs: [default/a default/b]"
    assert outcome.replicas is None
    assert [(said.reason, said.message) for said in outcome.events] == [
        ("AmbiguousSelector", message), ("FailedComputeMetricsReplicas", message),
    ]  # fmt: skip
    assert reasons(outcome.known)["ScalingActive"] == ("False", "AmbiguousSelector")


def run(of: Autoscaler, size: int, loads: Sequence[float], step: float = 15.0) -> tuple[list[int], list[int]]:
    """The sizes, one for each look, and what was asked for: `loads` is what all pods together would use, in cores."""
    known, now, sizes, asked = Known(), NOW, [size], [size]
    for load in loads:
        pods = [replace(pod(number, containers=1), started_at=now - 3600, since=now - 3600) for number in range(size)]
        values: Mapping[str, Reading] = {
            each.name: Reading(value=int(load * 1000 / size), at=now, window=15.0) for each in pods
        }
        outcome = reconcile(of, known, size, pods, [values], now)
        known = outcome.known
        asked += [proposal.replicas for proposal in known.proposals if proposal]
        if outcome.replicas is not None:
            known, _ = rescaled(of, outcome, size, now)
            size = outcome.replicas
        sizes.append(size)
        now += step
    return sizes, asked


def test_the_documentations_80_to_10() -> None:
    """Four pods or a tenth a minute, whichever is more: 80, 72, and below 40 by four."""
    behavior = Behavior(up=DEFAULT_UP, down=replace(rules(4, 60, 10, 60), window=0))
    of = spec(min_replicas=10, max_replicas=100, behavior=behavior)
    sizes, _ = run(of, 80, [0.0] * 20, step=60.0)
    assert sizes[:12] == [80, 72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20]
    assert sizes[-1] == 10


def test_nothing_shrinks_in_the_first_five_minutes() -> None:
    sizes, _ = run(spec(min_replicas=1, max_replicas=10), 8, [0.3] * 40)
    assert sizes[:20] == [8] * 20
    assert sizes[-1] == 1


def test_a_short_lull_shrinks_nothing() -> None:
    loads = [2.4] * 30 + [0.3] * 10 + [2.4] * 30
    assert set(run(spec(min_replicas=1, max_replicas=10), 8, loads)[0]) == {8}


def one_policy(period: int) -> st.SearchStrategy[Rules]:
    return st.builds(
        Rules,
        window=st.sampled_from([0, 30, 120]),
        select=st.sampled_from([Select.MAX, Select.MAX, Select.DISABLED]),
        policies=st.builds(ScalingPolicy, percent=st.booleans(), value=st.integers(1, 150), period=st.just(period)).map(
            lambda policy: (policy,)
        ),
    )


histories = st.lists(st.floats(0, 12, allow_nan=False), min_size=1, max_size=40)
behaviors = st.sampled_from([15, 30, 60, 120]).flatmap(
    lambda period: st.builds(Behavior, up=one_policy(period), down=one_policy(period))
)
economical = settings(max_examples=40, deadline=None)


@economical
@given(loads=histories, behavior=st.none() | behaviors, least=st.integers(1, 5), more=st.integers(0, 40))
def test_it_never_leaves_its_bounds(loads: list[float], behavior: Behavior | None, least: int, more: int) -> None:
    sizes, _ = run(spec(min_replicas=least, max_replicas=least + more, behavior=behavior), least, loads)
    assert all(least <= size <= least + more for size in sizes)


@economical
@given(loads=histories, behavior=behaviors, size=st.integers(1, 40))
def test_it_never_goes_faster_than_a_policy_allows(loads: list[float], behavior: Behavior, size: int) -> None:
    sizes, _ = run(spec(min_replicas=1, max_replicas=40, behavior=behavior), size, loads)
    for at, (before, after) in enumerate(pairwise(sizes)):
        rule, sign = (behavior.up, 1) if after > before else (behavior.down, -1)
        if after == before:
            continue
        assert rule.select is not Select.DISABLED
        (policy,) = rule.policies
        start = sizes[max(0, at + 1 - policy.period // 15)]
        share = start * (1 + sign * policy.value / 100) if policy.percent else start + sign * policy.value
        # No slower either than one whole pod: a percentage is rounded away from where it stands.
        assert after <= math.ceil(share) if sign > 0 else after >= math.floor(share)


@economical
@given(loads=histories, size=st.integers(1, 30))
def test_it_does_not_shrink_below_what_was_asked_for_in_the_window(loads: list[float], size: int) -> None:
    sizes, asked = run(spec(min_replicas=1, max_replicas=30), size, loads)
    for at, (before, after) in enumerate(pairwise(sizes)):
        if after < before:
            # The first of what was asked is the size as it was, at the time of the first look; 300 s are 20 looks.
            recent = asked[max(0, at + 1 - 20) : at + 2]
            assert after == min(30, max(1, *recent))


@economical
@given(
    load=st.floats(0.01, 10),
    size=st.integers(1, 40),
    behavior=st.none() | st.just(Behavior(up=DEFAULT_UP, down=DEFAULT_DOWN)),
)
def test_an_equal_load_settles(load: float, size: int, behavior: Behavior | None) -> None:
    # It may take several steps down, each after the 20 looks of the window: percentages are whole numbers.
    sizes, _ = run(spec(min_replicas=1, max_replicas=40, behavior=behavior), size, [load] * 120)
    settled = sizes[-1]
    assert len(set(sizes[-10:])) == 1
    # The percentage of what is asked for is a whole number.
    percent = int(load * 1000 / settled) // 10
    assert percent <= 33
    assert settled == 1 or percent >= 27 or (settled - 1) * 30 * 10 < load * 1000

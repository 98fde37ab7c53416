"""How fast the number of replicas may follow what the metrics ask for: limits, policies, and the past; pure.

After Kubernetes' horizontal.go. What is remembered is the caller's: each function gives it back as it is afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runtime.manifest.autoscaler import DEFAULT_WINDOW_DOWN, Behavior, Rules, Select

LEAST_STEP = 4
"""Without a behavior: so many at least may there be after one step."""
FACTOR = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """What the metrics asked for at a time."""

    replicas: int
    at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """By how many replicas it was scaled, at a time; one that is `outdated` is the first to be forgotten."""

    replicas: int
    at: float
    outdated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What is remembered of an autoscaler."""

    recommendations: tuple[Recommendation, ...] = ()
    ups: tuple[Change, ...] = ()
    downs: tuple[Change, ...] = ()

    def begun(self, current: int, now: float) -> Memory:
        """The first thing that is remembered is the size as it stands, so that nothing shrinks at once."""
        if self.recommendations:
            return self
        return replace(self, recommendations=(Recommendation(replicas=current, at=now),))

    def scaled(self, behavior: Behavior | None, before: int, after: int, now: float) -> Memory:
        """After it was scaled; without a behavior nobody asks."""
        if behavior is None:
            return self
        if after > before:
            return replace(self, ups=_stored(self.ups, behavior.up, after - before, now))
        return replace(self, downs=_stored(self.downs, behavior.down, before - after, now))


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A reason and a message in Kubernetes' words; `limited` when a limit holds."""

    reason: str
    message: str
    limited: bool = False


READY = Word(reason="ReadyForNewScale", message="recommended size matches current size")
UP_STABILIZED = Word(
    reason="ScaleUpStabilized",
    message="recent recommendations were lower than current one, applying the lowest recent recommendation",
)
DOWN_STABILIZED = Word(
    reason="ScaleDownStabilized",
    message="recent recommendations were higher than current one, applying the highest recent recommendation",
)
WITHIN = Word(reason="DesiredWithinRange", message="the desired count is within the acceptable range")
UP_LIMIT = Word(
    reason="ScaleUpLimit",
    message="the desired replica count is increasing faster than the maximum scale rate",
    limited=True,
)
DOWN_LIMIT = Word(
    reason="ScaleDownLimit",
    message="the desired replica count is decreasing faster than the maximum scale rate",
    limited=True,
)
TOO_MANY = Word(
    reason="TooManyReplicas", message="the desired replica count is more than the maximum replica count", limited=True
)
TOO_FEW = Word(
    reason="TooFewReplicas", message="the desired replica count is less than the minimum replica count", limited=True
)


def stabilize(desired: int, current: int, behavior: Behavior | None, memory: Memory, now: float) -> tuple[int, Memory]:
    """What is to be had for what is asked: on the way up no more than was asked for at any time in its window, on the
    way down no fewer. What was asked is remembered."""
    past = memory.recommendations
    new = Recommendation(replicas=desired, at=now)
    if behavior is None:
        since = now - DEFAULT_WINDOW_DOWN
        found = max(desired, *(item.replicas for item in past if item.at >= since), desired)
        return found, replace(memory, recommendations=_remembered(past, new, since))
    up_since, down_since = now - behavior.up.window, now - behavior.down.window
    lowest = min(desired, *(item.replicas for item in past if item.at > up_since), desired)
    highest = max(desired, *(item.replicas for item in past if item.at > down_since), desired)
    kept = _remembered(past, new, min(up_since, down_since))
    return min(max(current, lowest), highest), replace(memory, recommendations=kept)


def _remembered(past: Sequence[Recommendation], new: Recommendation, since: float) -> tuple[Recommendation, ...]:
    """One that nobody will ask for any more makes room."""
    old = [index for index, item in enumerate(past) if item.at < since]
    if not old:
        return (*past, new)
    return (*past[: old[-1]], new, *past[old[-1] + 1 :])


def stabilized_word(desired: int, found: int, current: int, behavior: Behavior | None) -> Word:
    """What is said of it."""
    if found == desired:
        return READY
    return UP_STABILIZED if behavior and desired >= current else DOWN_STABILIZED


def limit(
    desired: int, current: int, least: int, most: int, behavior: Behavior | None, memory: Memory, now: float
) -> tuple[int, Word]:
    """What of it may be done now, and why not all of it."""
    if behavior is None:
        return _plainly_limited(desired, current, least, most)
    if desired > current:
        top = max(_up_limit(current, behavior.up, memory, now), current)
        highest, word = (top, UP_LIMIT) if most > top else (most, TOO_MANY)
        return (highest, word) if desired > highest else (desired, WITHIN)
    if desired < current:
        floor = min(_down_limit(current, behavior.down, memory, now), current)
        lowest, word = (floor, DOWN_LIMIT) if least < floor else (least, TOO_FEW)
        return (lowest, word) if desired < lowest else (desired, WITHIN)
    return desired, WITHIN


def _plainly_limited(desired: int, current: int, least: int, most: int) -> tuple[int, Word]:
    top = max(FACTOR * current, LEAST_STEP)
    highest, word = (top, UP_LIMIT) if most > top else (most, TOO_MANY)
    if desired < least:
        return least, TOO_FEW
    return (highest, word) if desired > highest else (desired, WITHIN)


def _up_limit(current: int, rules: Rules, memory: Memory, now: float) -> int:
    if rules.select is Select.DISABLED:
        return current
    proposed = []
    for policy in rules.policies:
        start = _start(current, memory, policy.period, now)
        share = math.ceil(start * (1 + policy.value / 100))
        proposed.append(share if policy.percent else start + policy.value)
    return min(proposed) if rules.select is Select.MIN else max(proposed)


def _down_limit(current: int, rules: Rules, memory: Memory, now: float) -> int:
    if rules.select is Select.DISABLED:
        return current
    proposed = []
    for policy in rules.policies:
        start = _start(current, memory, policy.period, now)
        share = int(start * (1 - policy.value / 100))
        proposed.append(share if policy.percent else start - policy.value)
    return max(proposed) if rules.select is Select.MIN else min(proposed)


def _start(current: int, memory: Memory, period: int, now: float) -> int:
    """How many there were when the period began, which ends now."""
    return current - changed(memory.ups, period, now) + changed(memory.downs, period, now)


def changed(changes: Sequence[Change], period: int, now: float) -> int:
    """By how many it was scaled within the last `period` seconds."""
    return sum(change.replicas for change in changes if change.at > now - period)


def _stored(changes: Sequence[Change], rules: Rules, replicas: int, now: float) -> tuple[Change, ...]:
    longest = max(policy.period for policy in rules.policies)
    marked = [replace(change, outdated=change.outdated or change.at < now - longest) for change in changes]
    old = [index for index, change in enumerate(marked) if change.outdated]
    new = Change(replicas=replicas, at=now)
    if not old:
        return (*marked, new)
    return (*marked[: old[-1]], new, *marked[old[-1] + 1 :])

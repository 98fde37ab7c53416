"""What a Job says of pods that fail and of indexes that are enough: shapes, values, rules over several fields.

After Kubernetes' validation of a Job (kubernetes/pkg/apis/batch/validation).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import NAME, Many, Object, Shape, Text, Whole

MOST_RULES = 20
MOST_CODES = 255
DISRUPTION = "DisruptionTarget"
NO_LIMIT = 2**31 - 1
_INDEXES = re.compile(r"[0-9]{1,9}(-[0-9]{1,9})?(,[0-9]{1,9}(-[0-9]{1,9})?)*")

_FAILURE_RULE = Object(
    fields={
        "action": Text(choices=("FailJob", "FailIndex", "Ignore", "Count")),
        "onExitCodes": Object(
            fields={
                "containerName": NAME,
                "operator": Text(choices=("In", "NotIn")),
                "values": Many(item=Whole(low=0), least=1, most=MOST_CODES),
            },
            required=("operator", "values"),
        ),
        "onPodConditions": Many(
            item=Object(
                fields={
                    "type": Text(
                        choices=(DISRUPTION,),
                        unsupported=("ConfigIssue", "ContainersReady", "Initialized", "PodScheduled", "Ready"),
                        hint="no pod that has failed here has another one; onExitCodes looks at how it ended",
                    ),
                    "status": Text(choices=("True",), unsupported=("False", "Unknown")),
                },
                required=("type",),
            ),
            most=MOST_RULES,
        ),
    },
    required=("action",),
)

POLICIES: dict[str, Shape] = {
    "podFailurePolicy": Object(
        fields={"rules": Many(item=_FAILURE_RULE, least=1, most=MOST_RULES)}, required=("rules",)
    ),
    "successPolicy": Object(
        fields={
            "rules": Many(
                item=Object(
                    fields={
                        "succeededIndexes": Text(pattern=_INDEXES, says="indexes such as 0,2-4"),
                        "succeededCount": Whole(low=1),
                    }
                ),
                least=1,
                most=MOST_RULES,
            )
        },
        required=("rules",),
    ),
    "backoffLimitPerIndex": Whole(),
    "maxFailedIndexes": Whole(high=1000),
    "podReplacementPolicy": Text(
        choices=("Failed",),
        unsupported=("TerminatingOrFailed",),
        hint="take it out: here a pod that is being stopped is replaced once it has ended",
    ),
}
"""The fields of a Job's ``spec``, by name."""


class FailureAction(StrEnum):
    """What follows from a pod that has failed: the Job fails; its index does; nothing; it counts as any other."""

    FAIL_JOB = "FailJob"
    FAIL_INDEX = "FailIndex"
    IGNORE = "Ignore"
    COUNT = "Count"


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRule:
    """Met by a pod of which the `container`, or any where it is empty, has ended with one of `codes`, or where it is
    `inverted` with another one that is not 0; or, `on_loss`, by one whose container was lost."""

    action: FailureAction
    container: str = ""
    codes: tuple[int, ...] = ()
    inverted: bool = False
    on_loss: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessRule:
    """Met when `count` of `indexes` are done, None all of them; of all indexes where `indexes` is None."""

    indexes: frozenset[int] | None = None
    count: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """All that a Job says of it; `limit_per_index` and `most_failed_indexes` None are no limits."""

    failure: tuple[FailureRule, ...] = ()
    success: tuple[SuccessRule, ...] = ()
    limit_per_index: int | None = None
    most_failed_indexes: int | None = None


def policies(spec: Cursor, containers: Collection[str], *, completions: int | None, indexed: bool) -> Policies:
    """What the ``spec`` of a Job says, whose pods have `containers`. Raises ManifestError."""
    never = spec.get("template").get("spec").get("restartPolicy").plain() == "Never"
    per_index = spec.get("backoffLimitPerIndex")
    for name, is_so, needs in (
        ("podFailurePolicy", never, "restartPolicy Never"),
        ("backoffLimitPerIndex", never, "restartPolicy Never"),
        ("backoffLimitPerIndex", indexed, "completionMode Indexed"),
        ("successPolicy", indexed, "completionMode Indexed"),
        ("maxFailedIndexes", per_index.plain() is not None, "backoffLimitPerIndex"),
    ):
        if spec.get(name).plain() is not None and not is_so:
            raise spec.get(name).fail("invalid-value", f" needs {needs}")
    most = spec.get("maxFailedIndexes").plain()
    if most is not None and most > (completions or 0):
        raise spec.get("maxFailedIndexes").fail("invalid-value", f" is {most}, more than completions: {completions}")
    rules = spec.get("podFailurePolicy").get("rules").items()
    return Policies(
        failure=tuple(_failure_rule(rule, containers, per_index=per_index.plain() is not None) for rule in rules),
        success=tuple(_success_rule(rule, completions or 0) for rule in spec.get("successPolicy").get("rules").items()),
        limit_per_index=per_index.plain(),
        most_failed_indexes=most,
    )


def _failure_rule(cursor: Cursor, containers: Collection[str], *, per_index: bool) -> FailureRule:
    action = FailureAction(cursor.get("action").plain())
    codes, conditions = cursor.get("onExitCodes"), cursor.get("onPodConditions")
    if codes.node.says_nothing is conditions.node.says_nothing:
        raise cursor.fail("invalid-value", ": expected one of onExitCodes and onPodConditions, and not both")
    if action is FailureAction.FAIL_INDEX and not per_index:
        raise cursor.get("action").fail("invalid-value", " FailIndex needs backoffLimitPerIndex")
    if codes.node.says_nothing:
        return FailureRule(action=action, on_loss=True)
    container, values = codes.get("containerName").plain(""), codes.get("values").plain()
    if container and container not in containers:
        raise codes.get("containerName").fail(
            "invalid-value", f": no container is named {container}", hint=f"there is {', '.join(sorted(containers))}"
        )
    if values != sorted(set(values)):
        raise codes.get("values").fail("invalid-value", ": expected in order, and each once")
    inverted = codes.get("operator").plain() == "NotIn"
    if 0 in values and not inverted:
        raise codes.get("values").fail("invalid-value", ": 0 is no failure")
    return FailureRule(action=action, container=container, codes=tuple(values), inverted=inverted)


def _success_rule(cursor: Cursor, completions: int) -> SuccessRule:
    said, count = cursor.get("succeededIndexes").plain(), cursor.get("succeededCount").plain()
    if said is None and count is None:
        raise cursor.fail("invalid-value", ": expected succeededIndexes, succeededCount or both")
    indexes = None if said is None else _indexes(cursor.get("succeededIndexes"), completions)
    there = completions if indexes is None else len(indexes)
    if count is not None and count > there:
        raise cursor.get("succeededCount").fail("invalid-value", f" is {count}, and there are {there} indexes")
    return SuccessRule(indexes=indexes, count=count)


def _indexes(cursor: Cursor, completions: int) -> frozenset[int]:
    found: list[int] = []
    for part in cursor.plain().split(","):
        first, _, last = part.partition("-")
        begin, end = int(first), int(last or first)
        if end < begin or end >= completions or (found and begin <= found[-1]):
            raise cursor.fail(
                "invalid-value",
                f' is "{cursor.plain()}", expected indexes in order, each once, below completions: {completions}',
            )
        found += range(begin, end + 1)
    return frozenset(found)

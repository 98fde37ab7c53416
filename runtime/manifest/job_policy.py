"""What a Job says of ends of its pods: podFailurePolicy, backoffLimitPerIndex and successPolicy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import NAME, Many, Object, Shape, Text, Whole

MOST_RULES = 20
MOST_CODES = 255
DISRUPTED = "DisruptionTarget"
CONTROLLER = "kubernetes.io/job-controller"
_INTERVALS = re.compile(r"[0-9]{1,6}(-[0-9]{1,6})?(,[0-9]{1,6}(-[0-9]{1,6})?)*")


class FailureAction(StrEnum):
    """What the end of a pod that failed does: the Job fails; its index does; nothing; it counts, as without a rule."""

    FAIL_JOB = "FailJob"
    FAIL_INDEX = "FailIndex"
    IGNORE = "Ignore"
    COUNT = "Count"


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRule:
    """Matches an exit code other than 0 of the `container`, empty for any, that is among `codes`, or with `others` is
    not; or, without codes, a pod that was `disrupted`."""

    action: FailureAction
    codes: frozenset[int] = frozenset()
    others: bool = False
    disrupted: bool = False
    container: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessRule:
    """Met once `count` of the `indexes` have succeeded; None is all of either."""

    indexes: frozenset[int] | None = None
    count: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPolicy:
    """All of it. Of several rules the first that matches decides; one of `success` is enough. More than
    `limit_per_index` failures fail an index, and more than `most_failed` such the Job; None is no limit."""

    failure: tuple[FailureRule, ...] = ()
    success: tuple[SuccessRule, ...] = ()
    limit_per_index: int | None = None
    most_failed: int | None = None


JOB_POLICY: dict[str, Shape] = {
    "backoffLimitPerIndex": Whole(),
    "maxFailedIndexes": Whole(high=100_000),
    "podFailurePolicy": Object(
        fields={
            "rules": Many(
                item=Object(
                    fields={
                        "action": Text(choices=tuple(FailureAction)),
                        "onExitCodes": Object(
                            fields={
                                "containerName": NAME,
                                "operator": Text(choices=("In", "NotIn")),
                                "values": Many(item=Whole(low=-(2**31)), least=1),
                            },
                            required=("operator", "values"),
                        ),
                        "onPodConditions": Many(
                            item=Object(
                                fields={"type": Text(), "status": Text(choices=("True", "False", "Unknown"))},
                                required=("type",),
                            )
                        ),
                    },
                    required=("action",),
                ),
                least=1,
            )
        },
        required=("rules",),
    ),
    "successPolicy": Object(
        fields={
            "rules": Many(
                item=Object(
                    fields={
                        "succeededIndexes": Text(pattern=_INTERVALS, says="indexes such as 0,2-4"),
                        "succeededCount": Whole(low=1),
                    }
                ),
                least=1,
            )
        },
        required=("rules",),
    ),
    "podReplacementPolicy": Text(
        choices=("Failed",),
        unsupported=("TerminatingOrFailed",),
        hint="here another pod always waits for the end of the one before",
    ),
    "managedBy": Text(choices=(CONTROLLER,)),
}
"""The fields of a Job's ``spec``."""


def job_policy(spec: Cursor, *, completions: int | None) -> JobPolicy:
    """From a tree that the schema has passed; `completions` is None where the Job is not Indexed."""
    limit, most = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    failure, success = spec.get("podFailurePolicy"), spec.get("successPolicy")
    for cursor in (limit, success):
        if completions is None and not cursor.node.says_nothing:
            raise cursor.fail("invalid-value", ": it is there for `completionMode: Indexed` alone")
    if most.plain() is not None and limit.plain() is None:
        raise most.fail("invalid-value", ": it is there for `backoffLimitPerIndex` alone")
    if completions is not None and most.plain(0) > completions:
        raise most.fail(
            "invalid-value", f" is {most.plain()}, expected at most the completions, which are {completions}"
        )
    never = spec.get("template").get("spec").get("restartPolicy")
    for cursor in (limit, failure):
        if never.plain() != "Never" and not cursor.node.says_nothing:
            raise cursor.fail("invalid-value", ": it is there for `restartPolicy: Never` alone")
    pod = spec.get("template").get("spec")
    specs = (*pod.get("containers").items(), *pod.get("initContainers").items())
    names = {item.get("name").plain() for item in specs}
    return JobPolicy(
        failure=tuple(_failure(item, names, per_index=limit.plain() is not None) for item in _rules(failure)),
        success=tuple(_success(item, completions or 0) for item in _rules(success)),
        limit_per_index=limit.plain(),
        most_failed=most.plain(),
    )


def _rules(policy: Cursor) -> list[Cursor]:
    rules = policy.get("rules").items()
    if len(rules) > MOST_RULES:
        raise policy.get("rules").fail("invalid-value", f" has {len(rules)} items, expected at most {MOST_RULES}")
    return rules


def _failure(rule: Cursor, names: Iterable[str], *, per_index: bool) -> FailureRule:
    action = FailureAction(rule.get("action").plain())
    if action is FailureAction.FAIL_INDEX and not per_index:
        raise rule.get("action").fail("invalid-value", " is FailIndex, which needs backoffLimitPerIndex")
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if codes.node.says_nothing == conditions.node.says_nothing:
        raise rule.fail("invalid-value", " needs one of onExitCodes and onPodConditions")
    if codes.node.says_nothing:
        said = [(item.get("type").plain(), item.get("status").plain("True")) for item in conditions.items()]
        # Others are never a pod's here, so a rule for them matches nothing, as in a cluster without them.
        return FailureRule(action=action, disrupted=(DISRUPTED, "True") in said)
    container, values = codes.get("containerName"), codes.get("values").plain()
    if container.plain() not in (None, *names):
        raise container.fail("invalid-value", f' is "{container.plain()}", which is no container of the pod')
    others = codes.get("operator").plain() == "NotIn"
    if len(set(values)) < len(values) or len(values) > MOST_CODES:
        raise codes.get("values").fail("invalid-value", f": expected at most {MOST_CODES}, each once")
    if 0 in values and not others:
        raise codes.get("values").fail("invalid-value", " has 0, which is no failure")
    return FailureRule(action=action, codes=frozenset(values), others=others, container=container.plain(""))


def _success(rule: Cursor, completions: int) -> SuccessRule:
    said, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if said.plain() is None and count.plain() is None:
        raise rule.fail("missing-field", ".succeededCount is missing", hint="name succeededIndexes or succeededCount")
    indexes = None if said.plain() is None else _indexes(said, completions)
    most = completions if indexes is None else len(indexes)
    if count.plain(0) > most:
        raise count.fail("invalid-value", f" is {count.plain()}, expected at most {most}")
    return SuccessRule(indexes=indexes, count=count.plain())


def _indexes(cursor: Cursor, completions: int) -> frozenset[int]:
    found: list[int] = []
    for part in cursor.plain().split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if high >= completions or low > high or (found and low <= found[-1]):
            raise cursor.fail(
                "invalid-value",
                f' is "{cursor.plain()}", expected indexes below {completions} in their order, each once',
            )
        found += range(low, high + 1)
    return frozenset(found)

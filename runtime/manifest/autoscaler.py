"""HorizontalPodAutoscalers: how many replicas a Deployment has, by what they use.

Bounds and defaults are those of Kubernetes (pkg/apis/autoscaling/validation, pkg/apis/autoscaling/v2/defaults.go).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runtime.manifest.cursor import Cursor
from runtime.manifest.quantity import milli, quantity
from runtime.manifest.schema import NAME, OBJECT_NAME, Amount, Many, Object, Shape, Text, Whole, metadata, words

REQUESTS_PER_SECOND = "requests_per_second"
"""The one metric of pods that there is: what the balancer gave a replica, of all Services that lead to it."""
DEFAULT_UTILIZATION = 80
DEFAULT_WINDOW_DOWN = 300
_V1 = "autoscaling/v1"
_V1_MORE = ("autoscaling.alpha.kubernetes.io/metrics", "autoscaling.alpha.kubernetes.io/behavior")
"""Annotations in which autoscaling/v1 carries what it has no fields for."""
_METRICS = f"there are Resource and ContainerResource (cpu, memory), and Pods with the metric {REQUESTS_PER_SECOND}"

_TARGET = Object(
    fields={
        "type": Text(
            choices=("Utilization", "AverageValue"),
            unsupported=("Value",),
            hint="a Value is that of an Object or External metric; write AverageValue, for each replica",
        ),
        "averageUtilization": Whole(low=1),
        "averageValue": Amount(),
    },
    required=("type",),
    known=words("value"),
)
_RESOURCE = Text(choices=("cpu", "memory"))
_POLICIES = Many(
    item=Object(
        fields={
            "type": Text(choices=("Pods", "Percent")),
            "value": Whole(low=1),
            "periodSeconds": Whole(low=1, high=1800),
        },
        required=("type", "value", "periodSeconds"),
    ),
    least=1,
)
_RULES = Object(
    fields={
        "stabilizationWindowSeconds": Whole(high=3600),
        "selectPolicy": Text(choices=("Max", "Min", "Disabled")),
        "policies": _POLICIES,
        "tolerance": Amount(),
    }
)
_REF = Object(
    fields={
        "apiVersion": Text(choices=("apps/v1",)),
        "kind": Text(choices=("Deployment",), unsupported=("ReplicaSet", "ReplicationController", "StatefulSet")),
        "name": OBJECT_NAME,
    },
    required=("apiVersion", "kind", "name"),
)
_BOUNDS: dict[str, Shape] = {
    "scaleTargetRef": _REF,
    "minReplicas": Whole(low=1, high=1000),
    "maxReplicas": Whole(low=1, high=1000),
}

AUTOSCALER = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(OBJECT_NAME),
        "spec": Object(
            fields={
                **_BOUNDS,
                "metrics": Many(
                    item=Object(
                        fields={
                            "type": Text(
                                choices=("Resource", "ContainerResource", "Pods"),
                                unsupported=("Object", "External"),
                                hint=_METRICS,
                            ),
                            "resource": Object(
                                fields={"name": _RESOURCE, "target": _TARGET}, required=("name", "target")
                            ),
                            "containerResource": Object(
                                fields={"name": _RESOURCE, "container": NAME, "target": _TARGET},
                                required=("name", "container", "target"),
                            ),
                            "pods": Object(
                                fields={
                                    "metric": Object(
                                        fields={"name": Text()}, required=("name",), known=words("selector")
                                    ),
                                    "target": _TARGET,
                                },
                                required=("metric", "target"),
                            ),
                        },
                        required=("type",),
                        known=words("external object"),
                    ),
                ),
                "behavior": Object(fields={"scaleUp": _RULES, "scaleDown": _RULES}),
            },
            required=("scaleTargetRef", "maxReplicas"),
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)

AUTOSCALER_V1 = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(OBJECT_NAME),
        "spec": Object(
            fields={**_BOUNDS, "targetCPUUtilizationPercentage": Whole(low=1)},
            required=("scaleTargetRef", "maxReplicas"),
            known=words("behavior metrics"),
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)


class Source(StrEnum):
    """Where a metric comes from: all containers of a replica, one of them, or what is counted of the replica."""

    RESOURCE = "Resource"
    CONTAINER = "ContainerResource"
    PODS = "Pods"


class Select(StrEnum):
    """Which of several policies holds: the one that changes the most, the least, or that nothing changes."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What is looked at. `name` is ``cpu``, ``memory`` or that of a metric of pods; `container` is of one of them
    alone. One of the targets is set: `utilization` in percent of the request, or `average` a replica, in thousandths
    (of a core, a byte, a request a second)."""

    source: Source
    name: str
    container: str = ""
    utilization: int | None = None
    average: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingPolicy:
    """At most `value` pods, or percent of them where it is `percent`, in `period` seconds."""

    percent: bool
    value: int
    period: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How fast one direction goes. `window` is seconds; `tolerance` None the default of 0.1."""

    window: int
    select: Select
    policies: tuple[ScalingPolicy, ...]
    tolerance: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Behavior:
    """Both directions, with the defaults for what was not said."""

    up: Rules
    down: Rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Autoscaler:
    """autoscaling/v2 HorizontalPodAutoscaler; `target` is a Deployment of its namespace. Without a `behavior` the
    older limits hold: twice as many at a time or four, and 300 s before there are fewer."""

    namespace: str
    name: str
    target: str
    max_replicas: int
    metrics: tuple[Metric, ...]
    min_replicas: int = 1
    behavior: Behavior | None = None


DEFAULT_UP = Rules(
    window=0,
    select=Select.MAX,
    policies=(
        ScalingPolicy(percent=False, value=4, period=15),
        ScalingPolicy(percent=True, value=100, period=15),
    ),
)
DEFAULT_DOWN = Rules(
    window=DEFAULT_WINDOW_DOWN,
    select=Select.MAX,
    policies=(ScalingPolicy(percent=True, value=100, period=15),),
)


def autoscaler(root: Cursor) -> Autoscaler:
    """An autoscaler of either version from a tree that the schema has passed."""
    meta, spec = root.get("metadata"), root.get("spec")
    least, most = spec.get("minReplicas").plain(1), spec.get("maxReplicas").plain()
    if most < least:
        raise spec.get("maxReplicas").fail(
            "invalid-value", f" is {most}, expected at least minReplicas, which is {least}"
        )
    old = root.get("apiVersion").plain() == _V1
    if old:
        _refuse_more(meta)
    return Autoscaler(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        target=spec.get("scaleTargetRef").get("name").plain(),
        min_replicas=least,
        max_replicas=most,
        metrics=_cpu(spec.get("targetCPUUtilizationPercentage")) if old else _metrics(spec.get("metrics")),
        behavior=None if spec.get("behavior").node.value is None else _behavior(spec.get("behavior")),
    )


def _refuse_more(meta: Cursor) -> None:
    annotations = meta.get("annotations")
    for name in _V1_MORE:
        if annotations.get(name).node.value is not None:
            raise annotations.get(name).fail(
                "unsupported-field",
                ": what it holds is read from fields alone",
                hint="write apiVersion: autoscaling/v2",
            )


def _cpu(cursor: Cursor) -> tuple[Metric, ...]:
    return (Metric(source=Source.RESOURCE, name="cpu", utilization=cursor.plain(DEFAULT_UTILIZATION)),)


def _metrics(cursor: Cursor) -> tuple[Metric, ...]:
    return tuple(map(_metric, cursor.items())) or (
        Metric(source=Source.RESOURCE, name="cpu", utilization=DEFAULT_UTILIZATION),
    )


_FIELDS = {Source.RESOURCE: "resource", Source.CONTAINER: "containerResource", Source.PODS: "pods"}


def _metric(cursor: Cursor) -> Metric:
    source = Source(cursor.get("type").plain())
    for other, field in _FIELDS.items():
        given = not cursor.get(field).node.says_nothing
        if given and other is not source:
            raise cursor.get(field).fail("invalid-value", f": the type is {source}, which has {_FIELDS[source]} alone")
        if other is source and not given:
            raise cursor.fail("missing-field", f".{field} is missing: the type is {source}", hint=f"add `{field}`")
    said = cursor.get(_FIELDS[source])
    name = said.get("name").plain() if source is not Source.PODS else _pods_metric(said)
    utilization, average = _target(said.get("target"))
    if source is Source.PODS and utilization is not None:
        kind = said.get("target").get("type")
        raise kind.fail("invalid-value", " is Utilization: pods ask for none", hint="write type: AverageValue")
    return Metric(
        source=source,
        name=name,
        container=said.get("container").plain(""),
        utilization=utilization,
        average=average,
    )


def _pods_metric(cursor: Cursor) -> str:
    said = cursor.get("metric").get("name")
    if said.plain() != REQUESTS_PER_SECOND:
        raise said.fail("unsupported-value", f' is "{said.plain()}", which nobody measures here', hint=_METRICS)
    return REQUESTS_PER_SECOND


def _target(cursor: Cursor) -> tuple[int | None, int | None]:
    """(percent, thousandths), one of which is None."""
    kind = cursor.get("type").plain()
    utilization, average = cursor.get("averageUtilization"), cursor.get("averageValue")
    wanted, other = (utilization, average) if kind == "Utilization" else (average, utilization)
    if other.node.value is not None:
        raise other.fail("invalid-value", f": the type is {kind}, one target alone can be set")
    if wanted.node.value is None:
        name = wanted.path.rpartition(".")[2]
        raise cursor.fail("missing-field", f".{name} is missing: the type is {kind}", hint=f"add `{name}`")
    if wanted is utilization:
        return utilization.plain(), None
    amount = quantity(average.plain())
    if not amount:
        raise average.fail("invalid-value", f" is {average.plain()}, expected more than 0")
    return None, milli(amount)


def _behavior(cursor: Cursor) -> Behavior:
    return Behavior(up=_rules(cursor.get("scaleUp"), DEFAULT_UP), down=_rules(cursor.get("scaleDown"), DEFAULT_DOWN))


def _rules(cursor: Cursor, default: Rules) -> Rules:
    policies = tuple(
        ScalingPolicy(
            percent=item.get("type").plain() == "Percent",
            value=item.get("value").plain(),
            period=item.get("periodSeconds").plain(),
        )
        for item in cursor.get("policies").items()
    )
    tolerance = cursor.get("tolerance").plain()
    amount = None if tolerance is None else quantity(tolerance)
    return Rules(
        window=cursor.get("stabilizationWindowSeconds").plain(default.window),
        select=Select(cursor.get("selectPolicy").plain(default.select)),
        policies=policies or default.policies,
        tolerance=None if amount is None else float(amount),
    )

"""What crosses the controller's socket: lines of JSON, and the values and errors in them.

A connection carries one request and its answer. The request is ``{"protocol": 1, "method": …, "params": {…}}``; the
answer is any number of ``{"item": …}`` and ``{"beat": true}``, the sign of life of a stream with nothing to say, and at
the end ``{"done": true}`` or ``{"error": {…}}``. The method `execute` has one item, after which the connection carries
`frames`: the caller sends none before it has read that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from runtime import errors
from runtime.errors import RuntimeFailure
from runtime.figures import AutoscalerStatus, MetricStatus, NodeFigures, ReplicaFigures, ServiceFigures
from runtime.model import (
    AppliedObject,
    Condition,
    ContainerStatus,
    ControllerInfo,
    CronJobStatus,
    DeploymentStatus,
    Event,
    JobPhase,
    JobStatus,
    LogLine,
    ObjectChange,
    ObjectView,
    PodPhase,
    PodStatus,
    ReplicaStatus,
    RevisionStatus,
    RolloutPhase,
    SecretStatus,
    ServiceCounters,
    ServicePortStatus,
    ServiceStatus,
)
from runtime.rollout import RolloutRecord

PROTOCOL = 1
OTHER_VERSION = "restart it with the version of the caller: imageforge up"
"""The hint where the two do not understand each other."""

Value = (
    AppliedObject
    | AutoscalerStatus
    | ControllerInfo
    | CronJobStatus
    | DeploymentStatus
    | Event
    | JobStatus
    | LogLine
    | NodeFigures
    | ObjectChange
    | ObjectView
    | PodStatus
    | ReplicaFigures
    | RevisionStatus
    | RolloutRecord
    | SecretStatus
    | ServiceCounters
    | ServiceFigures
    | ServiceStatus
    | str
    | None
)

_FAILURES: dict[str, type[RuntimeFailure]] = {
    name: item for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, RuntimeFailure)
}
_VALUES: dict[str, Any] = {
    item.__name__: item
    for item in (
        AppliedObject,
        ControllerInfo,
        CronJobStatus,
        Event,
        LogLine,
        NodeFigures,
        ObjectChange,
        ObjectView,
        ReplicaFigures,
        RevisionStatus,
        SecretStatus,
        ServiceCounters,
    )
}


def encode(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def pack(value: Value) -> Any:
    """A value in JSON's types, with the name of its class."""
    if value is None or isinstance(value, str):
        return value
    return {"class": type(value).__name__, **asdict(value)}


def unpack(raw: Any) -> Any:
    """The inverse of `pack`. What a newer controller says of a value beyond this is left out: during an upgrade the
    two are of different versions for seconds. Raises RuntimeFailure (`controller-speaks-differently`) for what is
    none of the values."""
    if not isinstance(raw, dict):
        return raw
    try:
        name = raw["class"]
        if name == DeploymentStatus.__name__:
            replicas = tuple(_replica(item) for item in raw["replica_list"])
            return _made(
                DeploymentStatus,
                raw,
                phase=RolloutPhase(raw["phase"]),
                replica_list=replicas,
                conditions=tuple(_made(Condition, item) for item in raw.get("conditions", ())),
            )
        if name == PodStatus.__name__:
            return _pod(raw)
        if name == JobStatus.__name__:
            return _made(
                JobStatus,
                raw,
                phase=JobPhase(raw["phase"]),
                last_log=tuple(raw["last_log"]),
                pods=tuple(map(_pod, raw.get("pods", ()))),
            )
        if name == ServiceStatus.__name__:
            ports = tuple(_made(ServicePortStatus, item) for item in raw["ports"])
            lists = {key: tuple(raw[key]) for key in ("hosts", "endpoints")}
            return _made(ServiceStatus, raw, ports=ports, **lists)
        return _NESTED[name](raw) if name in _NESTED else _made(_VALUES[name], raw)
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeFailure(
            "controller-speaks-differently",
            "controller",
            f"its answer is none that this version knows ({type(error).__name__}: {error})",
            hint="imageforge down, then imageforge up: one of another version may still run",
        ) from error


def value_as_json(value: Value) -> dict[str, Any]:
    """A value in JSON's types, for others than the controller's socket."""
    return {} if value is None or isinstance(value, str) else asdict(value)


def value_from_json(name: str, raw: Mapping[str, Any]) -> Any:
    """The inverse: a value of the class of this name. Raises as `unpack` does."""
    return unpack({**raw, "class": name})


def pack_failure(failure: RuntimeFailure) -> dict[str, Any]:
    """An error with all that it says."""
    return {
        "class": type(failure).__name__,
        "code": failure.code,
        "subject": failure.subject,
        "message": failure.message,
        "hint": failure.hint,
        "kept": failure.kept,
        "retryable": failure.retryable,
    }


def unpack_failure(raw: Mapping[str, Any]) -> RuntimeFailure:
    """The inverse of `pack_failure`; an unknown class comes out as the base."""
    kind = _FAILURES.get(raw["class"], RuntimeFailure)
    hint = raw.get("hint") or (OTHER_VERSION if raw["code"] == "unknown-method" else None)
    failure = kind(raw["code"], raw["subject"], raw["message"], hint=hint, kept=raw.get("kept"))
    failure.retryable = bool(raw.get("retryable"))
    return failure


def _replica(raw: dict[str, Any]) -> ReplicaStatus:
    made: ReplicaStatus = _made(
        ReplicaStatus,
        raw,
        listening=tuple(raw["listening"]),
        last_log=tuple(raw["last_log"]),
        containers=_containers(raw),
    )
    return made


def _pod(raw: Mapping[str, Any]) -> PodStatus:
    made: PodStatus = _made(PodStatus, raw, phase=PodPhase(raw["phase"]), containers=_containers(raw))
    return made


def _containers(raw: Mapping[str, Any]) -> tuple[ContainerStatus, ...]:
    found = raw.get("containers", ())
    return tuple(_made(ContainerStatus, item, last_log=tuple(item["last_log"])) for item in found)


def _made(kind: Any, raw: Mapping[str, Any], **better: Any) -> Any:
    known = {item.name for item in fields(kind)}
    return kind(**{**{name: value for name, value in raw.items() if name in known}, **better})


def _autoscaler(raw: Mapping[str, Any]) -> Any:
    return _made(
        AutoscalerStatus,
        raw,
        metrics=tuple(_made(MetricStatus, item) for item in raw["metrics"]),
        conditions=tuple(_made(Condition, item) for item in raw["conditions"]),
    )


def _service_figures(raw: Mapping[str, Any]) -> Any:
    return _made(ServiceFigures, raw, counters=_made(ServiceCounters, raw["counters"]))


_NESTED = {
    AutoscalerStatus.__name__: _autoscaler,
    RolloutRecord.__name__: RolloutRecord.from_json,
    ServiceFigures.__name__: _service_figures,
}
"""Those that hold other values."""

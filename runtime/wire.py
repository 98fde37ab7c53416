"""What crosses the controller's socket: lines of JSON, and the values and errors in them.

A connection carries one request and its answer. The request is ``{"protocol": 1, "method": …, "params": {…}}``; the
answer is any number of ``{"item": …}`` and ``{"beat": true}``, the sign of life of a stream with nothing to say, and at
the end ``{"done": true}`` or ``{"error": {…}}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from runtime import errors
from runtime.errors import RuntimeFailure
from runtime.model import (
    AppliedObject,
    ControllerInfo,
    DeploymentStatus,
    JobPhase,
    JobStatus,
    LogLine,
    ReplicaStatus,
    RolloutPhase,
    SecretStatus,
    ServiceCounters,
)

PROTOCOL = 1

Value = (
    AppliedObject
    | ControllerInfo
    | DeploymentStatus
    | JobStatus
    | LogLine
    | SecretStatus
    | ServiceCounters
    | str
    | None
)

_FAILURES: dict[str, type[RuntimeFailure]] = {
    name: item for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, RuntimeFailure)
}
_VALUES: dict[str, Any] = {
    item.__name__: item for item in (AppliedObject, ControllerInfo, LogLine, SecretStatus, ServiceCounters)
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
    """The inverse of `pack`."""
    if not isinstance(raw, dict):
        return raw
    fields = dict(raw)
    name = fields.pop("class")
    if name == DeploymentStatus.__name__:
        fields["phase"] = RolloutPhase(fields["phase"])
        fields["replica_list"] = tuple(_replica(item) for item in fields["replica_list"])
        return DeploymentStatus(**fields)
    if name == JobStatus.__name__:
        return JobStatus(**{**fields, "phase": JobPhase(fields["phase"]), "last_log": tuple(fields["last_log"])})
    return _VALUES[name](**fields)


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
    failure = kind(raw["code"], raw["subject"], raw["message"], hint=raw.get("hint"), kept=raw.get("kept"))
    failure.retryable = bool(raw.get("retryable"))
    return failure


def _replica(raw: dict[str, Any]) -> ReplicaStatus:
    return ReplicaStatus(**{**raw, "listening": tuple(raw["listening"]), "last_log": tuple(raw["last_log"])})

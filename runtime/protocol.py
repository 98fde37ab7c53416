"""What goes over the controller's socket: a line of JSON asks, lines of JSON answer.

A request is ``{"v": 1, "verb": …, "args": {…}}``; an answer is ``{"item": …}`` or ``{"error": {…}}``, and the last
``{"end": true}``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

from runtime import errors
from runtime.errors import RuntimeFailure
from runtime.model import (
    AppliedObject,
    ControllerInfo,
    DeploymentStatus,
    LogLine,
    ReplicaStatus,
    RolloutPhase,
    ServiceCounters,
)

VERSION = 1
LONGEST_LINE = 16 << 20

_CLASSES: dict[str, type[RuntimeFailure]] = {
    name: found for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, RuntimeFailure)
}
_VALUES = {cls.__name__: cls for cls in (AppliedObject, ControllerInfo, DeploymentStatus, LogLine, ServiceCounters)}


def encode(value: dict[str, Any]) -> bytes:
    """A message as a line."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def item(value: Any) -> bytes:
    """An answer with one of the border's values, or with plain data."""
    if is_dataclass(value) and not isinstance(value, type):
        return encode({"item": asdict(value), "type": type(value).__name__})
    return encode({"item": value})


def failure(error: RuntimeFailure) -> bytes:
    """An answer with an error."""
    return encode(
        {
            "error": {
                "class": type(error).__name__,
                "code": error.code,
                "subject": error.subject,
                "message": error.message,
                "hint": error.hint,
                "kept": error.kept,
            }
        }
    )


def decode_item(answer: dict[str, Any]) -> Any:
    """The inverse of `item`."""
    cls = _VALUES.get(str(answer.get("type")))
    raw = answer["item"]
    if cls is None:
        return raw
    if cls is DeploymentStatus:
        replicas = tuple(
            ReplicaStatus(**{**row, "listening": tuple(row["listening"]), "last_log": tuple(row["last_log"])})
            for row in raw["replica_list"]
        )
        return DeploymentStatus(**{**raw, "phase": RolloutPhase(raw["phase"]), "replica_list": replicas})
    return cls(**raw)


def decode_error(raw: dict[str, Any]) -> RuntimeFailure:
    """The inverse of `failure`."""
    cls = _CLASSES.get(raw["class"], RuntimeFailure)
    return cls(raw["code"], raw["subject"], raw["message"], hint=raw.get("hint"), kept=raw.get("kept"))

"""Kubernetes manifests in, running replicas behind a balancer out.

The face of the package; callers import from here only. The controller runs as a process of its own
(``python -m runtime``); everybody else talks to it through `ControllerClient`.
"""

from runtime.client import ControllerClient
from runtime.errors import (
    BalancerError,
    Conflict,
    ControllerUnreachable,
    EngineError,
    ImageError,
    ManifestError,
    NotFound,
    RuntimeFailure,
)
from runtime.labels import Label
from runtime.model import (
    AppliedObject,
    ControllerInfo,
    DeploymentStatus,
    LogLine,
    ReplicaStatus,
    RolloutPhase,
    ServiceCounters,
)
from runtime.settings import RuntimeSettings

__all__ = [
    "AppliedObject",
    "BalancerError",
    "Conflict",
    "ControllerClient",
    "ControllerInfo",
    "ControllerUnreachable",
    "DeploymentStatus",
    "EngineError",
    "ImageError",
    "Label",
    "LogLine",
    "ManifestError",
    "NotFound",
    "ReplicaStatus",
    "RolloutPhase",
    "RuntimeFailure",
    "RuntimeSettings",
    "ServiceCounters",
]

"""Kubernetes manifests in, running replicas behind a balancer out.

The face of the package; callers import from here only. The controller runs as a process of its own
(``python -m runtime``); everybody else talks to it through `ControllerClient`.
"""

from runtime.balancer.certificates import CertificateState
from runtime.balancer.certificates import covers as covers_host
from runtime.balancer.config import CHALLENGES, ENTRY_HEADER
from runtime.balancer.config import initial_config as initial_balancer_config
from runtime.balancer.keyring import certificate_states
from runtime.client import ControllerClient
from runtime.errors import (
    BalancerError,
    ConfigError,
    Conflict,
    ControllerUnreachable,
    EngineError,
    ImageError,
    KeyFailure,
    ManifestError,
    NotFound,
    RuntimeFailure,
)
from runtime.instance import clear_secret_files, purge
from runtime.labels import Label
from runtime.manifest import load as load_manifests
from runtime.model import (
    AppliedObject,
    ContainerStatus,
    ControllerInfo,
    DeploymentStatus,
    Event,
    JobPhase,
    JobStatus,
    LogLine,
    PodPhase,
    PodStatus,
    ReplicaStatus,
    RolloutPhase,
    SecretStatus,
    ServiceCounters,
)
from runtime.settings import PublicEntry, RuntimeSettings

__all__ = [
    "CHALLENGES",
    "ENTRY_HEADER",
    "AppliedObject",
    "BalancerError",
    "CertificateState",
    "ConfigError",
    "Conflict",
    "ContainerStatus",
    "ControllerClient",
    "ControllerInfo",
    "ControllerUnreachable",
    "DeploymentStatus",
    "EngineError",
    "Event",
    "ImageError",
    "JobPhase",
    "JobStatus",
    "KeyFailure",
    "Label",
    "LogLine",
    "ManifestError",
    "NotFound",
    "PodPhase",
    "PodStatus",
    "PublicEntry",
    "ReplicaStatus",
    "RolloutPhase",
    "RuntimeFailure",
    "RuntimeSettings",
    "SecretStatus",
    "ServiceCounters",
    "certificate_states",
    "clear_secret_files",
    "covers_host",
    "initial_balancer_config",
    "load_manifests",
    "purge",
]

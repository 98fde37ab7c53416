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
from runtime.discovery.host import cannot_have_addresses
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
from runtime.figures import AutoscalerStatus, MetricStatus, NodeFigures, ReplicaFigures, ServiceFigures
from runtime.instance import clear_secret_files, purge
from runtime.labels import Label
from runtime.manifest import load as load_manifests
from runtime.manifest.kinds import KINDS
from runtime.manifest.model import Document
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
    Selection,
    ServiceCounters,
    ServicePortStatus,
    ServiceStatus,
)
from runtime.rollout import FieldChange, Outcome, RolledReplica, RolloutRecord, Traffic
from runtime.session import Piece, Session
from runtime.settings import PublicEntry, RuntimeSettings
from runtime.wire import value_as_json, value_from_json

__all__ = [
    "CHALLENGES",
    "ENTRY_HEADER",
    "KINDS",
    "AppliedObject",
    "AutoscalerStatus",
    "BalancerError",
    "CertificateState",
    "Condition",
    "ConfigError",
    "Conflict",
    "ContainerStatus",
    "ControllerClient",
    "ControllerInfo",
    "ControllerUnreachable",
    "CronJobStatus",
    "DeploymentStatus",
    "Document",
    "EngineError",
    "Event",
    "FieldChange",
    "ImageError",
    "JobPhase",
    "JobStatus",
    "KeyFailure",
    "Label",
    "LogLine",
    "ManifestError",
    "MetricStatus",
    "NodeFigures",
    "NotFound",
    "ObjectChange",
    "ObjectView",
    "Outcome",
    "Piece",
    "PodPhase",
    "PodStatus",
    "PublicEntry",
    "ReplicaFigures",
    "ReplicaStatus",
    "RevisionStatus",
    "RolledReplica",
    "RolloutPhase",
    "RolloutRecord",
    "RuntimeFailure",
    "RuntimeSettings",
    "SecretStatus",
    "Selection",
    "ServiceCounters",
    "ServiceFigures",
    "ServicePortStatus",
    "ServiceStatus",
    "Session",
    "Traffic",
    "cannot_have_addresses",
    "certificate_states",
    "clear_secret_files",
    "covers_host",
    "initial_balancer_config",
    "load_manifests",
    "purge",
    "value_as_json",
    "value_from_json",
]

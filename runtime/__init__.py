"""Kubernetes manifests in, running replicas behind a balancer out.

The face of the package; callers import from here only. The controller runs as a process of its own
(``python -m runtime``); everybody else talks to it through `ControllerClient`. What needs the engine's client, the
controller or certificates is loaded when it is asked for: a command that only asks a question does not pay for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from runtime.figures import AutoscalerStatus, MetricStatus, NodeFigures, ReplicaFigures, ServiceFigures
from runtime.labels import Label
from runtime.manifest import dump as dump_manifests
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

if TYPE_CHECKING:
    from runtime.balancer.certificates import CertificateState
    from runtime.balancer.certificates import covers as covers_host
    from runtime.balancer.config import CHALLENGES, ENTRY_HEADER
    from runtime.balancer.config import initial_config as initial_balancer_config
    from runtime.balancer.keyring import certificate_states
    from runtime.discovery.host import cannot_have_addresses
    from runtime.instance import clear_secret_files, purge

_LATER = {
    "CertificateState": "runtime.balancer.certificates:CertificateState",
    "cannot_have_addresses": "runtime.discovery.host:cannot_have_addresses",
    "covers_host": "runtime.balancer.certificates:covers",
    "CHALLENGES": "runtime.balancer.config:CHALLENGES",
    "ENTRY_HEADER": "runtime.balancer.config:ENTRY_HEADER",
    "initial_balancer_config": "runtime.balancer.config:initial_config",
    "certificate_states": "runtime.balancer.keyring:certificate_states",
    "clear_secret_files": "runtime.instance:clear_secret_files",
    "purge": "runtime.instance:purge",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LATER[name].partition(":")
    return getattr(import_module(module), attribute)


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
    "dump_manifests",
    "initial_balancer_config",
    "load_manifests",
    "purge",
    "value_as_json",
    "value_from_json",
]

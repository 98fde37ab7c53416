"""Manifests as values, parsed and complete with defaults. Durations are seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.manifest.autoscaler import Autoscaler
from runtime.manifest.claim import Claim
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.job_policy import JobPolicy
from runtime.manifest.lookup import Lookup
from runtime.manifest.namespace import Namespace
from runtime.manifest.probe import Hook, Probe
from runtime.manifest.resources import Resources
from runtime.manifest.restart_rule import RestartRule, Restarts
from runtime.manifest.routing import Ingress
from runtime.manifest.security import PodSecurity, SecurityContext
from runtime.manifest.tree import Plain
from runtime.manifest.variable import (
    ADDRESS_PATHS,
    ConfigKey,
    ConfigVariables,
    PodField,
    SecretKey,
    SecretVariables,
    Value,
)
from runtime.manifest.volume import ClaimVolume, ConfigVolume, SecretVolume, Volume, VolumeMount, sources_of
from runtime.restart import RestartPolicy

HOST_ANNOTATION = "imageforge.io/host"
PROTOCOL_ANNOTATION = "imageforge.io/protocol"
BALANCE_ANNOTATION = "imageforge.io/balance"
MASKED_ANNOTATION = "imageforge.io/masked"
RELEASE_ANNOTATION = "imageforge.io/release"
CAUSE_ANNOTATION = "kubernetes.io/change-cause"
RESTARTED_ANNOTATION = "kubectl.kubernetes.io/restartedAt"
APP_LABEL = "app.kubernetes.io/name"
CRON_JOB_ANNOTATION = "imageforge.io/cron-job"
JOB_LABELS = frozenset(("job-name", "batch.kubernetes.io/job-name"))
"""Those that the pods of a Job have, with its name."""
PART_OF_LABEL = "app.kubernetes.io/part-of"
COMPONENT_LABEL = "app.kubernetes.io/component"
APP_ANNOTATION = "imageforge.io/app"
PROCESS_ANNOTATION = "imageforge.io/process"
"""Of a pod template that an app's repository brings: its labels are the repository's, and may be selected by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerPort:
    """A port that the container says it listens on; `host_port` is the machine's that leads to it, None for none."""

    number: int
    name: str = ""
    host_port: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerSpec:
    """A container of a pod. `command` and `args` are None when the image's own are meant; `env` is in order and
    not yet expanded, and comes after `env_from`. `message_path` is a file for its last words, empty for none. One that
    runs before the others is a `sidecar` where it goes on beside them. `restart` None is as its pod has it; `rules`
    come before either."""

    name: str
    image: str
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    env: tuple[tuple[str, Value], ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    readiness: Probe | None = None
    always_pull: bool = False
    security: SecurityContext = field(default_factory=SecurityContext)
    env_from: tuple[SecretVariables | ConfigVariables, ...] = ()
    mounts: tuple[VolumeMount, ...] = ()
    liveness: Probe | None = None
    startup: Probe | None = None
    post_start: Hook | None = None
    pre_stop: Hook | None = None
    resources: Resources = field(default_factory=Resources)
    working_dir: str = ""
    stdin: bool = False
    tty: bool = False
    never_pull: bool = False
    sidecar: bool = False
    message_path: str = ""
    restart: RestartPolicy | None = None
    rules: tuple[RestartRule, ...] = ()

    def port_number(self, port: int | str) -> int | None:
        """The number of a port given by number or name; None where no port has that name."""
        return port_number(self.ports, port)


@dataclass(frozen=True, kw_only=True, slots=True)
class PodTemplate:
    """What every replica of a revision is made from. `container` is the main one, which its status speaks of; `others`
    run beside it, `init` before all of them, in order. `placement` is what it says of other machines, field by field:
    nobody acts on it. `node_name` is the machine's name where it may be on no other. With `shares_processes` its
    containers see each other's processes. While it has `gates` it is not begun with. `resources` and
    `pids`, a limit of processes, are said of all of its containers together."""

    container: ContainerSpec
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    grace_period: int = 30
    volumes: tuple[Volume, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    security: PodSecurity = field(default_factory=PodSecurity)
    others: tuple[ContainerSpec, ...] = ()
    init: tuple[ContainerSpec, ...] = ()
    hostname: str = ""
    restart_policy: RestartPolicy = RestartPolicy.ALWAYS
    service_links: bool = True
    pull_secrets: tuple[str, ...] = ()
    placement: Mapping[str, Plain] = field(default_factory=dict)
    subdomain: str = ""
    lookup: Lookup = field(default_factory=Lookup)
    node_name: str = ""
    shares_processes: bool = False
    gates: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    pids: int | None = None

    @property
    def all_containers(self) -> tuple[ContainerSpec, ...]:
        """Every container, the main one first, those before it last."""
        return (self.container, *self.others, *self.init)

    def restarts(self, spec: ContainerSpec) -> Restarts:
        """Which ends of a container of it are followed by another start. One that runs before the others does so until
        it has succeeded, unless the pod's containers run but once."""
        policy = spec.restart or self.restart_policy
        if spec.sidecar:
            policy = RestartPolicy.ALWAYS
        elif spec in self.init and spec.restart is None and policy is RestartPolicy.ALWAYS:
            policy = RestartPolicy.ON_FAILURE
        return Restarts(policy=policy, rules=spec.rules)

    @property
    def mains(self) -> tuple[ContainerSpec, ...]:
        """Those that the pod is there for."""
        return (self.container, *self.others)

    @property
    def is_group(self) -> bool:
        """Whether a sandbox has the network: there are several containers, or one is told its address at its start, or
        is not to be the first of its processes."""
        return bool(self.others or self.init or self.tells_address or self.shares_processes)

    @property
    def tells_address(self) -> bool:
        """Whether a variable is the replica's address."""
        said = (value for spec in self.all_containers for _, value in spec.env)
        return any(isinstance(value, PodField) and value.path in ADDRESS_PATHS for value in said)

    def port_number(self, port: int | str) -> int | None:
        """The number of a port given by number or by a name that one of the containers has for it."""
        found = (spec.port_number(port) for spec in (*self.mains, *self.sidecars))
        return next((number for number in found if number is not None), None)

    @property
    def host_ports(self) -> tuple[tuple[int, int], ...]:
        """(the machine's, the container's) of the ports that are the machine's too."""
        said = (port for spec in (*self.mains, *self.sidecars) for port in spec.ports)
        return tuple((port.host_port, port.number) for port in said if port.host_port)

    @property
    def sidecars(self) -> tuple[ContainerSpec, ...]:
        """Those that begin before the others, in order, and end after them."""
        return tuple(spec for spec in self.init if spec.sidecar)

    @property
    def serving_containers(self) -> tuple[ContainerSpec, ...]:
        """Those that must be ready for the replica to be."""
        return (*self.mains, *self.sidecars)

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the Secrets that its replicas are given something of."""
        specs = self.all_containers
        keys = (value.name for spec in specs for _, value in spec.env if isinstance(value, SecretKey))
        sources = (source for spec in specs for source in spec.env_from)
        whole = (source.name for source in sources if isinstance(source, SecretVariables))
        files = (source for volume in self.volumes for source in sources_of(volume))
        written = (each.secret for each in files if isinstance(each, SecretVolume))
        return frozenset([*keys, *whole, *written, *self.pull_secrets])

    @property
    def config_maps(self) -> frozenset[str]:
        """The names of the ConfigMaps that its replicas are given something of."""
        specs = self.all_containers
        keys = (value.config_map for spec in specs for _, value in spec.env if isinstance(value, ConfigKey))
        sources = (source for spec in specs for source in spec.env_from)
        whole = (source.config_map for source in sources if isinstance(source, ConfigVariables))
        files = (source for volume in self.volumes for source in sources_of(volume))
        return frozenset([*keys, *whole, *(each.config_map for each in files if isinstance(each, ConfigVolume))])

    @property
    def claims(self) -> frozenset[str]:
        """The names of the PersistentVolumeClaims that its replicas use."""
        return frozenset(volume.claim for volume in self.volumes if isinstance(volume, ClaimVolume))


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """apps/v1 Deployment. `max_surge` and `max_unavailable` are counts or percentages as written; `recreate` is the
    strategy Recreate, which has neither."""

    namespace: str
    name: str
    selector: Mapping[str, str]
    template: PodTemplate
    replicas: int = 1
    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    min_ready_seconds: int = 0
    progress_deadline: int = 600
    revision_history_limit: int = 10
    recreate: bool = False
    paused: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """v1 Pod; its labels and annotations are its template's."""

    namespace: str
    name: str
    template: PodTemplate


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """batch/v1 Job. `active_deadline` None is no limit, `ttl` None keeps it for ever once it is done. `completions`
    None is a queue of work: one pod that succeeds says that it is empty. With `on_failure` a container is started again
    in its pod, else in another one. `owner` is the CronJob that made it. `backoff_limit` None is no limit."""

    namespace: str
    name: str
    template: PodTemplate
    backoff_limit: int | None = 6
    active_deadline: int | None = None
    ttl: int | None = None
    completions: int | None = 1
    parallelism: int = 1
    indexed: bool = False
    suspend: bool = False
    on_failure: bool = False
    owner: str = ""
    policy: JobPolicy = field(default_factory=JobPolicy)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


class Concurrency(StrEnum):
    """What becomes of a Job that still runs when the next one is due: both run; the next one waits; it is replaced."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


@dataclass(frozen=True, kw_only=True, slots=True)
class CronJob:
    """batch/v1 CronJob. `schedule` is as `runtime.schedule` has it, `time_zone` None the machine's own; `job` what its
    Jobs are, and `data` the manifest of one. Durations are seconds."""

    namespace: str
    name: str
    schedule: str
    job: Job
    data: dict[str, Plain] = field(repr=False)
    time_zone: str | None = None
    concurrency: Concurrency = Concurrency.ALLOW
    starting_deadline: int | None = None
    suspend: bool = False
    successful_history: int = 3
    failed_history: int = 1


class Protocol(StrEnum):
    """How the balancer serves a port: requests, requests by HTTP/2 to the replicas, or whole connections."""

    HTTP = "http"
    H2C = "h2c"
    TCP = "tcp"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServicePort:
    """A port of a Service and where it leads in the replica. `node_port` is the one asked for, None where any will do;
    `app_protocol` what it says that it speaks."""

    port: int
    target: int | str
    name: str = ""
    app_protocol: str = ""
    node_port: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """v1 Service. `hosts` are the names under which the entry port leads here; none is no route. A headless one has no
    address of its own. `protocol` is ``http`` or ``tcp`` where it is said for all ports; `affinity` the seconds for
    which a client keeps its replica, None where it has none. `source_ranges` are the networks, as CIDR, from which the
    machine's ports may be reached; none is all."""

    namespace: str
    name: str
    selector: Mapping[str, str]
    ports: tuple[ServicePort, ...]
    hosts: tuple[str, ...] = ()
    type: str = "ClusterIP"
    headless: bool = False
    affinity: int | None = None
    protocol: str = ""
    least_connections: bool = False
    source_ranges: tuple[str, ...] = ()

    @property
    def has_node_ports(self) -> bool:
        """Whether ports of the machine lead to it, too."""
        return self.type in ("NodePort", "LoadBalancer")

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a replica with these labels belongs to the Service; an empty selector selects nothing."""
        return bool(self.selector) and all(labels.get(key) == value for key, value in self.selector.items())

    @property
    def routed_port(self) -> ServicePort:
        """The port that the hosts lead to: the only one, else the one named ``http``."""
        return next((port for port in self.ports if port.name == "http"), self.ports[0])

    def speaks(self, port: ServicePort, *, routed: bool = False) -> Protocol:
        """What the balancer takes the port's bytes for; without a word on it they are left alone. What is `routed` by
        host or path speaks HTTP."""
        if self.protocol == Protocol.TCP:
            return Protocol.TCP
        said = port.app_protocol.lower() or port.name.replace("grpc-web", "http").partition("-")[0]
        if said in ("kubernetes.io/h2c", "h2c", "http2", "grpc"):
            return Protocol.H2C
        routed = routed or (bool(self.hosts) and port == self.routed_port)
        return Protocol.HTTP if said in ("http", "kubernetes.io/ws") or routed or self.protocol else Protocol.TCP


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """v1 Secret. `data` are the values by key, as bytes; no text shows them. `type` says which keys there must be."""

    namespace: str
    name: str
    data: Mapping[str, bytes] = field(repr=False)
    immutable: bool = False
    type: str = "Opaque"


Manifest = Autoscaler | Claim | ConfigMap | CronJob | Deployment | Ingress | Job | Namespace | Pod | Secret | Service
"""An object of any kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One manifest: its parsed object, and its plain data, from which the same object can be parsed again.
    `namespace` is empty of a kind that has none."""

    kind: str
    namespace: str
    name: str
    data: dict[str, Plain] = field(repr=False)
    object: Manifest
    where: str


def port_number(ports: Sequence[ContainerPort], port: int | str) -> int | None:
    """The number of a port given by number or name; None where none of `ports` has that name."""
    if isinstance(port, int):
        return port
    return next((known.number for known in ports if known.name == port), None)


def app_of(template: PodTemplate, default: str) -> str:
    """The app of the pods of this template: the one that brought it, what it is a part of, else its own name."""
    labels = template.labels
    return template.annotations.get(APP_ANNOTATION) or labels.get(PART_OF_LABEL) or labels.get(APP_LABEL, default)


def component_of(template: PodTemplate) -> str:
    """The process of its app that pods of this template are; empty where nothing says it."""
    return template.annotations.get(PROCESS_ANNOTATION) or template.labels.get(COMPONENT_LABEL, "")

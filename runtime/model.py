"""The values that cross the border of the runtime. Times are Unix seconds, durations seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, kw_only=True, slots=True)
class ControllerInfo:
    """Who answers on the controller's socket."""

    pid: int
    version: str
    instance: str
    engine: str
    started_at: float
    engine_ok: bool
    balancer_ok: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedObject:
    """What an apply did to one object: `change` is ``created``, ``configured`` or ``unchanged``."""

    kind: str
    namespace: str
    name: str
    change: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerStatus:
    """One container of a replica, its words and times as those of `ReplicaStatus`. `role` is ``main``, ``init`` for
    one that runs before the others, or ``sidecar`` for one that begins before them and goes on; `done` when it has
    ended and is not started again."""

    name: str
    image: str
    role: str
    phase: str
    ready: bool
    started: bool
    done: bool
    restarts: int
    container_id: str = ""
    started_at: float | None = None
    exit_code: int | None = None
    message: str = ""
    last_log: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaStatus:
    """One running copy.

    `phase` is Kubernetes' word for a container's state or the reason for it: Pending, Running, Ready, Terminating,
    CrashLoopBackOff, Error, OOMKilled, ImagePullBackOff,
    CreateContainerConfigError. `listening` are the TCP addresses its processes accept on
    (``127.0.0.1:3000``), read from the kernel; empty where that cannot be read. `last_log` are the last lines of the
    container that ended last, with stars for its Secrets. Of several `containers` the main one is spoken of, but
    `restarts` are those of all, and `ready` is all of them.
    """

    name: str
    namespace: str
    deployment: str
    revision: int
    phase: str
    ready: bool
    restarts: int
    image: str
    release: str = ""
    container_id: str = ""
    address: str = ""
    port: int = 0
    created_at: float | None = None
    started_at: float | None = None
    exit_code: int | None = None
    message: str = ""
    listening: tuple[str, ...] = ()
    last_log: tuple[str, ...] = ()
    containers: tuple[ContainerStatus, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectView:
    """An object as it stands. `manifest` is YAML, the values of a Secret masked; `generation` grows with each change of
    meaning; `deleting` until what it made is gone."""

    kind: str
    namespace: str
    name: str
    generation: int
    deleting: bool
    manifest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectChange:
    """What an apply would do to one object: `change` as in `AppliedObject`, `before` and `after` as YAML, empty where
    there is none. Of a Secret's values they say only whether they change."""

    kind: str
    namespace: str
    name: str
    change: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to an object, as Kubernetes tells it: `reason` is one word, a `warning` is of its type
    Warning and the others Normal. `count` is how often it was said, from `first_at` to `last_at`; `number` grows with
    each time."""

    namespace: str
    kind: str
    name: str
    warning: bool
    reason: str
    message: str
    count: int
    first_at: float
    last_at: float
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretStatus:
    """A Secret as it may be shown: its keys with the bytes of their values, and no value. `type` is Kubernetes'."""

    name: str
    namespace: str
    labels: dict[str, str]
    sizes: dict[str, int]
    type: str = "Opaque"


class PodPhase(StrEnum):
    """Where a pod stands: not all of it has begun; it has; every container has ended with code 0; one has not."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class PodStatus:
    """A pod that is no Deployment's. `reason` and `message` as `phase` and `message` of `ReplicaStatus`; `qos` is
    ``Guaranteed``, ``Burstable`` or ``BestEffort``; `restarts` are those of all containers; `deleting` until it is
    gone."""

    name: str
    namespace: str
    phase: PodPhase
    reason: str
    message: str
    ready: bool
    restarts: int
    qos: str
    address: str = ""
    app: str = ""
    deleting: bool = False
    created_at: float | None = None
    containers: tuple[ContainerStatus, ...] = ()


class RolloutPhase(StrEnum):
    """Where a Deployment stands: as asked; on the way; not within its progress deadline."""

    COMPLETE = "complete"
    PROGRESSING = "progressing"
    STALLED = "stalled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One of a Deployment's conditions, in Kubernetes' words: `type` is ``Available`` or ``Progressing``, `status`
    ``True``, ``False`` or ``Unknown``."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionStatus:
    """A template that a Deployment has or had. `replicas` are those that live; `cause` is its annotation
    kubernetes.io/change-cause."""

    number: int
    hash: str
    current: bool
    replicas: int
    image: str
    release: str = ""
    cause: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeploymentStatus:
    """A Deployment as it stands. The counts are those of Kubernetes' DeploymentStatus; `generation` is that of the
    newest manifest and `observed_generation` of the one the counts speak of. `replica_list` holds old revisions too.
    `app` is its label part-of, else name, `component` the label of this name; `deleting` until its last replica is
    gone."""

    name: str
    namespace: str
    generation: int
    observed_generation: int
    revision: int
    phase: RolloutPhase
    desired: int
    current: int
    updated: int
    ready: int
    available: int
    message: str = ""
    app: str = ""
    component: str = ""
    deleting: bool = False
    release: str = ""
    host: str = ""
    paused: bool = False
    conditions: tuple[Condition, ...] = field(default=())
    replica_list: tuple[ReplicaStatus, ...] = field(default=())


class JobPhase(StrEnum):
    """Where a Job stands: a pod of it runs or will; one has ended with code 0; none will any more."""

    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """A Job as it stands. `active`, `succeeded` and `failed` count pods as Kubernetes' JobStatus does; `reason` of a
    failure is ``BackoffLimitExceeded``, ``DeadlineExceeded`` or that of a policy, such as ``PodFailurePolicy``.
    `exit_code` and `last_log` are the last pod's; `message` says what keeps it from running, or how it ended. `lost`:
    the last pod's container was gone before it was seen to end, and nobody knows what it did. `completions` is how many
    it takes, None where one pod that succeeds says that the work is done; `indexes` are those of an Indexed one that
    are done (``0,2-4``). `cron_job` made it. `pods` are those that are there, in the order in which they were made."""

    name: str
    namespace: str
    phase: JobPhase
    active: int
    succeeded: int
    failed: int
    reason: str = ""
    message: str = ""
    deleting: bool = False
    lost: bool = False
    exit_code: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    app: str = ""
    release: str = ""
    last_log: tuple[str, ...] = ()
    completions: int | None = 1
    suspended: bool = False
    indexes: str = ""
    cron_job: str = ""
    pods: tuple[PodStatus, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CronJobStatus:
    """A CronJob as it stands. `schedule` are the five fields as they are counted by; `time_zone` is empty for the
    machine's own. `active` counts its Jobs that are not done. Times are Unix seconds, None for never."""

    name: str
    namespace: str
    schedule: str
    time_zone: str
    suspended: bool
    active: int
    last_scheduled_at: float | None
    next_at: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceCounters:
    """What HAProxy counted for one Service since it was added. `failed` are requests that the balancer could not
    serve: connection errors, aborted responses and its own 503s; an application's own 5xx are in `errors_5xx`. Of a
    port that is served by the connection, requests are connections. `queued` are those that wait for a replica now; the
    times are HAProxy's means over the last 1024 requests, in milliseconds: in the queue, to connect, from then to the
    first byte of the answer (0 by the connection), and in all. `by_class` counts answers by the first digit of their
    status (``2xx``), the balancer's own among them, ``unknown`` those from before classes were counted; it is empty by
    the connection."""

    requests: int
    failed: int
    retried: int
    redispatched: int
    errors_5xx: int
    in_flight: int
    per_replica: dict[str, int] = field(default_factory=dict)
    queued: int = 0
    queue_ms: int = 0
    response_ms: int = 0
    total_ms: int = 0
    connect_ms: int = 0
    by_class: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServicePortStatus:
    """A port of a Service: `protocol` is ``http``, ``h2c`` or ``tcp``, as the balancer serves it; `node_port` 0 for
    none. `problem` is empty where it is served."""

    port: int
    target: str
    protocol: str
    name: str = ""
    node_port: int = 0
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceStatus:
    """A Service as it stands. `address` is its own, empty where it has none: of a headless one, or with the reason in
    `message`. `endpoints` are the addresses of the replicas that are given requests. `external` is the machine's
    address at which the ports of one of type LoadBalancer are served, under their `node_port`. `served` is whether the
    balancer has it as it stands, with its hosts, ports and replicas; a controller that does not say is not waited
    for."""

    name: str
    namespace: str
    type: str
    address: str
    ports: tuple[ServicePortStatus, ...]
    headless: bool = False
    hosts: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    message: str = ""
    affinity: int = 0
    external: str = ""
    served: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """A line of a replica's output; `stream` is ``stdout`` or ``stderr``, `container` the one of its containers."""

    replica: str
    text: str
    stream: str
    at: float
    container: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The containers that somebody speaks of. `kind` is Deployment, Pod, Job or CronJob with `names`; without a kind it
    is every pod of the namespace that has the `labels`. `container` is one by name; without it the main one, or with
    `every` all."""

    namespace: str
    kind: str = ""
    names: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    container: str = ""
    every: bool = False

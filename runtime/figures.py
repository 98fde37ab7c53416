"""The values that tell of autoscalers and of what is used, for others than the runtime. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.model import Condition, ServiceCounters


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricStatus:
    """A metric of an autoscaler: `source` is ``Resource``, ``ContainerResource`` or ``Pods``, `name` such as ``cpu``.
    Percentages are of what the replicas ask for, averages in thousandths of a core, a byte, a request a second; None
    for the target that is not set and for what is not known now."""

    source: str
    name: str
    container: str
    target_utilization: int | None
    target_average: int | None
    utilization: int | None = None
    average: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoscalerStatus:
    """A HorizontalPodAutoscaler as it stands. `current` is what its Deployment is to have, None where that is not
    there; `desired` what was decided last, 0 before that."""

    name: str
    namespace: str
    target: str
    min_replicas: int
    max_replicas: int
    current: int | None
    desired: int
    metrics: tuple[MetricStatus, ...]
    conditions: tuple[Condition, ...]
    created_at: float
    last_scaled_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaFigures:
    """What a replica uses, over the last `window` seconds: CPU in thousandths of a core, its working set in bytes, the
    requests that the balancer gave it; None for what is not known. Requests and limits are those of all its containers
    together, None where one of them says none."""

    name: str
    namespace: str
    deployment: str
    ready: bool
    restarts: int
    cpu: int | None
    memory: int | None
    cpu_seconds: float | None
    cpu_request: int | None
    cpu_limit: int | None
    memory_request: int | None
    memory_limit: int | None
    requests: int | None
    requests_per_second: float | None
    window: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceFigures:
    """What a Service does: what was counted since it was added, and a second over the last `window`. `errors` are the
    5xx of its replicas and what the balancer could not serve. `replicas` are those that get requests."""

    name: str
    namespace: str
    replicas: int
    counters: ServiceCounters
    requests_per_second: float | None
    errors_per_second: float | None
    retries_per_second: float | None
    window: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFigures:
    """The machine: its size, what is reserved by requests, what the replicas use, and what all that runs on it uses.
    CPU in thousandths of a core, memory in bytes; None for what is not known."""

    cpu: int
    memory: int
    cpu_reserved: int
    memory_reserved: int
    replicas: int
    cpu_replicas: int
    memory_replicas: int
    cpu_used: int | None
    memory_used: int | None
    window: float | None

"""What the runtime counts and measures, for Prometheus.

Names and units are those of https://prometheus.io/docs/practices/naming: seconds and bytes, sums end with ``_total``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime import AutoscalerStatus, ReplicaFigures, ServiceFigures

SERVICE = ["namespace", "service"]
REPLICA = ["namespace", "deployment", "replica"]
AUTOSCALER = ["namespace", "autoscaler", "deployment"]
NO_ANSWER = "none"
"""In place of a status class: a request that got no answer, or a connection where a port is served by it."""


class RuntimeMetrics(Collector):
    """The figures of one scrape."""

    def __init__(
        self,
        services: Iterable[ServiceFigures],
        replicas: Iterable[ReplicaFigures],
        autoscalers: Iterable[AutoscalerStatus],
    ) -> None:
        self._services = tuple(services)
        self._replicas = tuple(replicas)
        self._autoscalers = tuple(autoscalers)

    def collect(self) -> Iterator[Metric]:
        """A family for each figure; none has lines of what is not known."""
        yield from _services(self._services)
        yield from _replicas(self._replicas)
        yield from _autoscalers(self._autoscalers)


def _services(found: Iterable[ServiceFigures]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "imageforge_service_requests", "Requests by the class of their answer.", labels=[*SERVICE, "code"]
    )
    failed = CounterMetricFamily(
        "imageforge_service_failed_requests", "Requests that the balancer could not serve.", labels=SERVICE
    )
    retries = CounterMetricFamily("imageforge_service_retries", "Requests tried again.", labels=SERVICE)
    queue = GaugeMetricFamily("imageforge_service_queue", "Requests that wait for a replica.", labels=SERVICE)
    now = GaugeMetricFamily("imageforge_service_sessions", "Requests and connections under way.", labels=SERVICE)
    endpoints = GaugeMetricFamily("imageforge_service_replicas", "Replicas that get requests.", labels=SERVICE)
    times = GaugeMetricFamily(
        "imageforge_service_time_mean_seconds",
        "Means over the last 1024 requests: in the queue, to connect, to the first byte of the answer, in all.",
        labels=[*SERVICE, "phase"],
    )
    for item in found:
        key, counted = [item.namespace, item.name], item.counters
        for code, count in counted.by_class.items():
            requests.add_metric([*key, code], count)
        requests.add_metric([*key, NO_ANSWER], max(0, counted.requests - sum(counted.by_class.values())))
        failed.add_metric(key, counted.failed)
        retries.add_metric(key, counted.retried)
        queue.add_metric(key, counted.queued)
        now.add_metric(key, counted.in_flight)
        endpoints.add_metric(key, item.replicas)
        for phase in ("queue", "connect", "response", "total"):
            times.add_metric([*key, phase], getattr(counted, f"{phase}_ms") / 1000)
    yield from (requests, failed, retries, queue, now, endpoints, times)


def _replicas(found: Iterable[ReplicaFigures]) -> Iterator[Metric]:
    cpu = CounterMetricFamily(
        "imageforge_replica_cpu_seconds", "CPU that the replica's containers have used.", labels=REPLICA
    )
    memory = GaugeMetricFamily(
        "imageforge_replica_memory_working_set_bytes", "Memory that is in use, as limits count it.", labels=REPLICA
    )
    restarts = GaugeMetricFamily("imageforge_replica_restarts", "Restarts of its containers.", labels=REPLICA)
    requests = CounterMetricFamily(
        "imageforge_replica_requests", "Requests that the balancer gave the replica.", labels=REPLICA
    )
    for item in found:
        key = [item.namespace, item.deployment, item.name]
        restarts.add_metric(key, item.restarts)
        for family, value in ((cpu, item.cpu_seconds), (memory, item.memory), (requests, item.requests)):
            if value is not None:
                family.add_metric(key, value)
    yield from (cpu, memory, restarts, requests)


def _autoscalers(found: Iterable[AutoscalerStatus]) -> Iterator[Metric]:
    current = GaugeMetricFamily("imageforge_hpa_replicas", "Replicas that the target is to have.", labels=AUTOSCALER)
    desired = GaugeMetricFamily("imageforge_hpa_replicas_desired", "Replicas decided on last.", labels=AUTOSCALER)
    least = GaugeMetricFamily("imageforge_hpa_replicas_min", "The fewest replicas.", labels=AUTOSCALER)
    most = GaugeMetricFamily("imageforge_hpa_replicas_max", "The most replicas.", labels=AUTOSCALER)
    active = GaugeMetricFamily(
        "imageforge_hpa_active", "Whether a number could be said at the last look.", labels=AUTOSCALER
    )
    for item in found:
        key = [item.namespace, item.name, item.target]
        if item.current is not None:
            current.add_metric(key, item.current)
        desired.add_metric(key, item.desired)
        least.add_metric(key, item.min_replicas)
        most.add_metric(key, item.max_replicas)
        said = next((each.status for each in item.conditions if each.type == "ScalingActive"), "Unknown")
        active.add_metric(key, said == "True")
    yield from (current, desired, least, most, active)

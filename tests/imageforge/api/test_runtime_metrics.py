"""What Prometheus reads of the runtime: names, types, units, and nothing of what is not known."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from imageforge.api.runtime_metrics import RuntimeMetrics
from runtime import AutoscalerStatus, Condition, ReplicaFigures, ServiceCounters, ServiceFigures

COUNTERS = ServiceCounters(
    requests=110,
    failed=3,
    retried=2,
    redispatched=1,
    errors_5xx=4,
    in_flight=7,
    queued=5,
    queue_ms=10,
    connect_ms=1,
    response_ms=250,
    total_ms=1500,
    by_class={"2xx": 100, "5xx": 7},
)
SERVICE = ServiceFigures(
    name="web",
    namespace="default",
    replicas=2,
    counters=COUNTERS,
    requests_per_second=1.0,
    errors_per_second=0.0,
    retries_per_second=0.0,
    window=15.0,
)
REPLICA = ReplicaFigures(
    name="web-1",
    namespace="default",
    deployment="web",
    ready=True,
    restarts=2,
    cpu=100,
    memory=1024,
    cpu_seconds=12.5,
    cpu_request=None,
    cpu_limit=None,
    memory_request=None,
    memory_limit=None,
    requests=None,
    requests_per_second=None,
    window=15.0,
)
AUTOSCALER = AutoscalerStatus(
    name="up",
    namespace="default",
    target="web",
    min_replicas=1,
    max_replicas=9,
    current=2,
    desired=3,
    metrics=(),
    conditions=(Condition(type="ScalingActive", status="True", reason="ValidMetricFound", message=""),),
    created_at=0.0,
)


def test_every_figure_has_its_name_type_and_unit() -> None:
    registry = CollectorRegistry()
    registry.register(RuntimeMetrics([SERVICE], [REPLICA], [AUTOSCALER]))
    text = generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    found = {
        (
            sample.name,
            *(value for name, value in sorted(sample.labels.items()) if name in ("code", "phase")),
        ): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert found == {
        ("imageforge_service_requests_total", "2xx"): 100,
        ("imageforge_service_requests_total", "5xx"): 7,
        ("imageforge_service_requests_total", "none"): 3,
        ("imageforge_service_failed_requests_total",): 3,
        ("imageforge_service_retries_total",): 2,
        ("imageforge_service_queue",): 5,
        ("imageforge_service_sessions",): 7,
        ("imageforge_service_replicas",): 2,
        ("imageforge_service_time_mean_seconds", "queue"): 0.01,
        ("imageforge_service_time_mean_seconds", "connect"): 0.001,
        ("imageforge_service_time_mean_seconds", "response"): 0.25,
        ("imageforge_service_time_mean_seconds", "total"): 1.5,
        ("imageforge_replica_cpu_seconds_total",): 12.5,
        ("imageforge_replica_memory_working_set_bytes",): 1024,
        ("imageforge_replica_restarts",): 2,
        ("imageforge_hpa_replicas",): 2,
        ("imageforge_hpa_replicas_desired",): 3,
        ("imageforge_hpa_replicas_min",): 1,
        ("imageforge_hpa_replicas_max",): 9,
        ("imageforge_hpa_active",): 1,
    }
    kinds = {name: family.type for name, family in families.items()}
    assert all(kinds[name] == "counter" for name in kinds if f"{name}_total" in text)
    assert {kind for kind in kinds.values()} == {"counter", "gauge"}
    assert all(family.documentation for family in families.values())
    (sample,) = families["imageforge_hpa_active"].samples
    assert sample.labels == {"namespace": "default", "autoscaler": "up", "deployment": "web"}


def test_nothing_there_is_no_line() -> None:
    registry = CollectorRegistry()
    registry.register(RuntimeMetrics([], [], []))
    assert [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")] == []

"""HorizontalPodAutoscalers: what is refused, by which name and on which line, and what is accepted as what."""

from __future__ import annotations

import pytest

from runtime import ManifestError, load_manifests
from runtime.manifest.autoscaler import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    Autoscaler,
    Behavior,
    Metric,
    Rules,
    ScalingPolicy,
    Select,
    Source,
)

GOOD = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}
    - type: ContainerResource
      containerResource: {name: memory, container: web, target: {type: AverageValue, averageValue: 100Mi}}
    - type: Pods
      pods: {metric: {name: requests_per_second}, target: {type: AverageValue, averageValue: "12.5"}}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 60
      selectPolicy: Min
      policies:
        - {type: Pods, value: 4, periodSeconds: 60}
        - {type: Percent, value: 10, periodSeconds: 1800}
    scaleDown: {tolerance: 0.05}
"""
OLD = """\
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 10
  targetCPUUtilizationPercentage: 50
"""

# (replaced, by, code, line, part of the message, part of the hint)
REFUSED = [
    ("minReplicas: 2", "minReplicas: 0", "invalid-value", 6, "spec.minReplicas is 0, expected 1 to 1000", None),
    ("minReplicas: 2", "minReplicas: 11", "invalid-value", 7, "expected at least minReplicas, which is 11", None),
    ("  maxReplicas: 10\n", "", "missing-field", 5, "spec.maxReplicas is missing", "maxReplicas"),
    ("maxReplicas: 10", "maxReplicas: 0", "invalid-value", 7, "spec.maxReplicas is 0", None),
    ("kind: Deployment", "kind: StatefulSet", "unsupported-value", 5, 'supported is Deployment', None),
    ("apiVersion: apps/v1, ", "", "missing-field", 5, "scaleTargetRef.apiVersion is missing", None),
    ("type: Resource\n", "type: External\n", "unsupported-value", 9, "External", "requests_per_second"),
    ("type: Resource\n", "type: Object\n", "unsupported-value", 9, "Object", "requests_per_second"),
    ("type: Resource\n", "type: Cheddar\n", "invalid-value", 9, "Cheddar", None),
    ("type: Resource\n", "type: Pods\n", "invalid-value", 10, "resource: the type is Pods, which has pods alone", None),
    ("      pods: {", "      object: {", "unsupported-field", 14, "metrics[2].object", None),
    (
        "      resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}\n", "", "missing-field", 9,
        "metrics[0].resource is missing: the type is Resource", "resource",
    ),
    ("name: cpu", "name: gpu", "invalid-value", 10, '"gpu", expected cpu or memory', None),
    ("averageUtilization: 50", "averageUtilization: 0", "invalid-value", 10, "is 0, expected 1", None),
    ("averageUtilization: 50", "averageValue: 1", "invalid-value", 10, "the type is Utilization, one target", None),
    (", averageUtilization: 50", "", "missing-field", 10, "averageUtilization is missing", "averageUtilization"),
    ("type: Utilization", "type: Value", "unsupported-value", 10, '"Value"', "AverageValue"),
    ("averageValue: 100Mi", "averageValue: 0", "invalid-value", 12, "is 0, expected more than 0", None),
    ("averageValue: 100Mi", "averageValue: lots", "invalid-value", 12, "lots", None),
    ("{name: requests_per_second}", "{name: queue}", "unsupported-value", 14, '"queue", which nobody', "requests_per"),
    ('AverageValue, averageValue: "12.5"', "Utilization, averageUtilization: 5", "invalid-value", 14, "pods ask", ""),
    ("Seconds: 60\n      select", "Seconds: 3601\n      select", "invalid-value", 17, "3601, expected 0 to 3600", None),
    ("selectPolicy: Min", "selectPolicy: Mean", "invalid-value", 18, "Max or Min or Disabled", None),
    ("periodSeconds: 1800", "periodSeconds: 1801", "invalid-value", 21, "1801, expected 1 to 1800", None),
    ("value: 4", "value: 0", "invalid-value", 20, "0, expected 1", None),
    ("type: Percent", "type: Part", "invalid-value", 21, "Pods or Percent", None),
    ("{tolerance: 0.05}", "{tolerance: -0.05}", "invalid-value", 22, "-0.05", None),
    ("{tolerance: 0.05}", "{policies: []}", "invalid-value", 22, "policies is empty", None),
    ("maxReplicas", "maxReplica", "unknown-field", 7, "spec.maxReplica ", "`maxReplicas`"),
    ("autoscaling/v2", "autoscaling/v2beta2", "unsupported-version", 1, "v2beta2", "autoscaling/v2"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "line", "message", "hint"), REFUSED)
def test_refused_by_name_with_its_line(
    old: str, new: str, code: str, line: int, message: str, hint: str | None
) -> None:
    assert old in GOOD
    with pytest.raises(ManifestError) as error:
        load_manifests(GOOD.replace(old, new, 1), "hpa.yaml")
    assert (error.value.code, error.value.subject) == (code, f"hpa.yaml:{line}")
    assert message in error.value.message
    assert (hint or "") in (error.value.hint or "")


def one(text: str) -> Autoscaler:
    (document,) = load_manifests(text)
    assert isinstance(document.object, Autoscaler)
    return document.object


def test_every_field_is_taken() -> None:
    assert one(GOOD) == Autoscaler(
        namespace="default",
        name="web",
        target="web",
        min_replicas=2,
        max_replicas=10,
        metrics=(
            Metric(source=Source.RESOURCE, name="cpu", utilization=50),
            Metric(source=Source.CONTAINER, name="memory", container="web", average=100 * 1024**2 * 1000),
            Metric(source=Source.PODS, name="requests_per_second", average=12_500),
        ),
        behavior=Behavior(
            up=Rules(
                window=60,
                select=Select.MIN,
                policies=(
                    ScalingPolicy(percent=False, value=4, period=60),
                    ScalingPolicy(percent=True, value=10, period=1800),
                ),
            ),
            down=Rules(window=300, select=Select.MAX, policies=DEFAULT_DOWN.policies, tolerance=0.05),
        ),
    )


def test_what_is_not_said() -> None:
    head = GOOD.partition("  minReplicas")[0]
    plain = one(f"{head}  maxReplicas: 3\n")
    assert (plain.min_replicas, plain.behavior) == (1, None)
    assert plain.metrics == (Metric(source=Source.RESOURCE, name="cpu", utilization=80),)
    assert one(f"{head}  maxReplicas: 3\n  behavior: {{}}\n").behavior == Behavior(up=DEFAULT_UP, down=DEFAULT_DOWN)


def test_the_older_version_is_read_as_the_newer() -> None:
    old = one(OLD)
    assert (old.max_replicas, old.behavior) == (10, None)
    assert old.metrics == (Metric(source=Source.RESOURCE, name="cpu", utilization=50),)
    default = OLD.replace("  targetCPUUtilizationPercentage: 50\n", "")
    assert one(default).metrics == (Metric(source=Source.RESOURCE, name="cpu", utilization=80),)
    hidden = "{name: web, annotations: {autoscaling.alpha.kubernetes.io/metrics: '[]'}}"
    with pytest.raises(ManifestError, match="read from fields alone"):
        load_manifests(OLD.replace("{name: web}\nspec", f"{hidden}\nspec"))
    with pytest.raises(ManifestError, match=r"spec.metrics is a field of Kubernetes"):
        load_manifests(f"{OLD}  metrics: [{{type: Resource}}]\n")

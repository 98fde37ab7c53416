"""Autoscalers with real replicas: what they burn and what they are asked is measured, and there are more of them."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imageforge.cli.owned import tell_owners
from runtime import AutoscalerStatus, RuntimeSettings
from tests.runtime.stack import Stack, is_complete, manifest, wait_for

pytestmark = pytest.mark.engine
PERIOD = 1.0
BUSY = 20
"""Thousandths of a processor. A container gets its share by what it requests, 50 here, and so less than its limit of
100 beside tests that take all there is."""

BURN = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: burn}}
spec:
  selector: {{matchLabels: {{app: burn}}}}
  template:
    metadata: {{labels: {{app: burn}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: burn
          image: {image}
          command: [sh, -c, "while :; do :; done"]
          resources: {{requests: {{cpu: 50m, memory: 16Mi}}, limits: {{cpu: 100m, memory: 32Mi}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: burn}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: burn}}
  maxReplicas: 3
  metrics:
    - type: Resource
      resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: asked}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: asked}}
  maxReplicas: 2
  metrics:
    - type: Pods
      pods: {{metric: {{name: requests_per_second}}, target: {{type: AverageValue, averageValue: 5}}}}
---
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {{name: nobody}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: nobody}}
  maxReplicas: 2
"""


@pytest.fixture
def stack(settings: RuntimeSettings, short_path: Path) -> Iterator[Stack]:
    """One whose autoscalers look every second."""
    made = Stack(settings=replace(settings, autoscale_seconds=PERIOD), home=short_path)
    with made.running():
        yield made


def autoscaler(stack: Stack, name: str) -> AutoscalerStatus:
    return next(item for item in stack.client.autoscalers("default") if item.name == name)


def test_more_replicas_where_they_burn_or_are_asked_much(
    stack: Stack, app_image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.client.apply(BURN.format(image=app_image) + "---" + manifest(app_image, name="asked", replicas=None))
    stack.until_complete("asked")
    over = threading.Event()

    def ask() -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stack.settings.http_port, timeout=10)) as entry:
            while not over.wait(0.02):
                entry.request("GET", "/", headers={"Host": "asked.localhost"})
                entry.getresponse().read()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        stack.until("asked", lambda status: status.desired == 2 and is_complete(status))
        # Those that are new are not ready for a window yet: for that time they count as idle.
        burning = stack.until("burn", lambda status: status.desired == 3 and is_complete(status))
        assert len(burning.replica_list) == 3
        wait_for(lambda: len([item for item in stack.client.top_replicas() if (item.cpu or 0) > BUSY]) == 3)
        # A look may fall into a second in which the one who asks got no turn.
        wait_for(lambda: (stack.client.top_services("default")[0].requests_per_second or 0) > 0)
        figures = stack.client.top_replicas("default")
        services = stack.client.top_services("default")
    finally:
        over.set()
        asking.join()
    burns = [item for item in figures if item.deployment == "burn"]
    assert all(item.memory and item.memory < 32 * 1024**2 for item in burns)
    assert {(item.cpu_request, item.cpu_limit, item.memory_limit) for item in burns} == {(50, 100, 32 * 1024**2)}
    assert {item.requests_per_second for item in burns} == {None}
    (service,) = services
    assert (service.name, service.replicas, service.counters.failed) == ("asked", 2, 0)
    assert service.counters.by_class["2xx"] == service.counters.requests > 10
    assert service.requests_per_second is not None

    wait_for(lambda: autoscaler(stack, "burn").conditions[-1].reason == "TooManyReplicas")
    status = autoscaler(stack, "burn")
    assert (status.current, status.desired, status.min_replicas, status.max_replicas) == (3, 3, 1, 3)
    assert status.metrics[0].target_utilization == 50
    assert (status.metrics[0].utilization or 0) > 50
    conditions = {item.type: (item.status, item.reason) for item in status.conditions}
    # A smaller number than a moment before is held back, and told.
    assert conditions.pop("AbleToScale") in {("True", "ReadyForNewScale"), ("True", "ScaleDownStabilized")}
    assert conditions == {
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("True", "TooManyReplicas"),
    }
    asked = autoscaler(stack, "asked")
    assert (asked.current, asked.metrics[0].name, asked.metrics[0].target_average) == (2, "requests_per_second", 5000)
    nobody = autoscaler(stack, "nobody")
    assert (nobody.current, [item.reason for item in nobody.conditions]) == (None, ["FailedGetScale"])

    # By hand it can be scaled, and whoever does it is told whose it is; above the largest number it comes back.
    tell_owners(stack.client, "default", ["burn", "none"])
    assert capsys.readouterr().err.startswith("horizontalpodautoscaler/burn scales deployment/burn, ")
    stack.client.scale("default", "burn", 4)
    stack.until("burn", lambda status: status.desired == 3)
    said = [event for event in stack.client.events("default", "HorizontalPodAutoscaler", "burn")]
    assert ("SuccessfulRescale", "New size: 3; reason: Current number of replicas above Spec.MaxReplicas") in [
        (event.reason, event.message) for event in said
    ]
    assert any("cpu resource utilization (percentage of request) above target" in event.message for event in said)
    stack.client.scale("default", "burn", 0)
    wait_for(lambda: "ScalingDisabled" in {item.reason for item in autoscaler(stack, "burn").conditions})
    node = stack.client.top_node()
    assert node.cpu >= 1000
    assert (node.memory_used or 0) > 0
    stack.client.delete("default", "HorizontalPodAutoscaler", "nobody")
    assert {item.name for item in stack.client.autoscalers()} == {"asked", "burn"}

"""Probes and hooks against real containers."""

from __future__ import annotations

import docker
import pytest

from tests.runtime.load import Load
from tests.runtime.stack import Stack, is_complete, wait_for

pytestmark = pytest.mark.engine


def watched(image: str, *, version: str = "1") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: hello}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: hello}}}}
  template:
    metadata: {{labels: {{app: hello}}}}
    spec:
      terminationGracePeriodSeconds: 6
      containers:
        - name: hello
          image: {image}
          command: [sh, -c, "trap : TERM; rm -f /tmp/sick; exec python3 /server.py"]
          env: [{{name: VERSION, value: "{version}"}}]
          ports: [{{containerPort: 8080, name: http}}]
          startupProbe: {{exec: {{command: [test, -e, /tmp/greeted]}}, periodSeconds: 1, failureThreshold: 20}}
          livenessProbe:
            exec: {{command: [sh, -c, "test ! -e /tmp/sick || {{ echo feeling sick; exit 9; }}"]}}
            periodSeconds: 1
            timeoutSeconds: 5
            failureThreshold: 1
            terminationGracePeriodSeconds: 4
          readinessProbe: {{httpGet: {{path: /ready, port: http}}, periodSeconds: 1}}
          lifecycle:
            postStart: {{exec: {{command: [touch, /tmp/greeted]}}}}
            preStop: {{exec: {{command: [sh, -c, "echo stopping > /proc/1/fd/1; sleep 1"]}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: hello, annotations: {{imageforge.io/host: hello.localhost}}}}
spec:
  selector: {{app: hello}}
  ports: [{{port: 80, targetPort: http}}]
"""


def test_a_sick_container_is_replaced_in_place_and_a_rollout_waits_for_its_hooks(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(watched(app_image))
    before = stack.until_complete("hello").replica_list
    container = docker_client.containers.get(before[0].container_id)
    assert container.exec_run(["test", "-e", "/tmp/greeted"]).exit_code == 0
    container.exec_run(["touch", "/tmp/sick"])
    status = stack.until("hello", lambda status: is_complete(status) and status.replica_list[0].restarts == 1)
    sick = status.replica_list[0]
    assert (sick.name, status.replica_list[1]) == (before[0].name, before[1])
    assert sick.container_id != before[0].container_id
    assert sick.last_log[-1] == "stopping", "it had its preStop first"
    assert "liveness probe by `sh`: exit code 9: feeling sick" in stack.controller_log()
    with Load(stack.settings.http_port) as load:
        wait_for(lambda: load.total >= 50)
        stack.client.apply(watched(app_image, version="2"))
        stack.until("hello", lambda status: is_complete(status) and len(status.replica_list) == 2)
    assert load.failures == {}


def test_a_command_is_bounded_in_time_and_killed_with_it(stack: Stack, app_image: str) -> None:
    from runtime.engine import Engine
    from tests.runtime.stack import manifest

    stack.client.apply(manifest(app_image, replicas=1))
    container_id = stack.until_complete("hello").replica_list[0].container_id
    engine = Engine(stack.settings.engine)
    try:
        done = engine.execute(container_id, ["sh", "-c", "echo out; echo err >&2; exit 3"], 20)
        assert (done.code, sorted(done.output.split())) == (3, ["err", "out"])
        large = engine.execute(container_id, ["sh", "-c", "yes | head -c 300000"], 20)
        assert (large.code, len(large.output) > 9000, len(large.output) <= 10240) == (0, True, True)
        assert engine.execute(container_id, ["sleep", "3600"], 0.3).code is None
        asleep = ["sh", "-c", "grep -sl sleep /proc/[0-9]*/comm | wc -l"]
        wait_for(lambda: engine.execute(container_id, asleep, 20).output.strip() == "0")
        assert engine.execute(container_id, ["nonesuch"], 20).code in (126, 127)
    finally:
        engine.close()

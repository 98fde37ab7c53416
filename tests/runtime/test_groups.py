"""Several containers in a replica, on a real engine: one network, their order, their restarts, their end."""

from __future__ import annotations

import docker
import pytest

from runtime import Label, NotFound, PodPhase, PodStatus
from tests.runtime.load import Session
from tests.runtime.stack import Stack, is_complete, wait_for

pytestmark = pytest.mark.engine


def grouped(image: str) -> str:
    """Each container writes that it has begun where the others see it: on a port of the network they share."""
    serve = "import socket; s = socket.create_server(('127.0.0.1', 9000)); print('begun', flush=True); s.accept()"
    serve += "\nwhile 1: s.accept()"
    reach = "import socket; socket.create_connection(('127.0.0.1', 9000)).close(); print('reached', flush=True)"
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: hello}}
spec:
  selector: {{matchLabels: {{app: hello}}}}
  template:
    metadata: {{labels: {{app: hello}}}}
    spec:
      terminationGracePeriodSeconds: 5
      hostname: grouped
      initContainers:
        - name: first
          image: {image}
          command: [sh, -c, "test ! -e /dev/shm/first && touch /dev/shm/first"]
        - name: side
          image: {image}
          restartPolicy: Always
          command: [python3, -c, {serve!r}]
          startupProbe: {{exec: {{command: [python3, -c, {reach!r}]}}, periodSeconds: 1, timeoutSeconds: 5}}
        - name: last
          image: {image}
          command: [python3, -c, {reach!r}]
      containers:
        - name: web
          image: {image}
          ports: [{{containerPort: 8080, name: http}}]
          readinessProbe: {{httpGet: {{path: /ready, port: http}}, periodSeconds: 1}}
        - name: beside
          image: {image}
          workingDir: /tmp
          command: [sh, -c, "pwd; hostname; trap 'exit 0' TERM; while :; do sleep 0.1; done"]
---
apiVersion: v1
kind: Service
metadata: {{name: hello, annotations: {{imageforge.io/host: hello.localhost}}}}
spec:
  selector: {{app: hello}}
  ports: [{{port: 80, targetPort: http}}]
"""


def test_several_containers_share_a_network_and_go_in_order(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(grouped(app_image))
    (before,) = stack.until_complete("hello").replica_list
    told = {item.name: item for item in before.containers}
    assert [(item.name, item.role) for item in before.containers] == [
        ("first", "init"), ("side", "sidecar"), ("last", "init"), ("web", "main"), ("beside", "main")
    ]  # fmt: skip
    assert (told["first"].exit_code, told["first"].done, told["last"].done) == (0, True, True)
    assert (told["side"].started, told["side"].done, before.restarts) == (True, False, 0)
    logs = {name: docker_client.containers.get(item.container_id).logs().decode() for name, item in told.items()}
    assert (logs["side"], logs["last"], logs["beside"]) == ("begun\n", "reached\n", "/tmp\ngrouped\n")
    with Session(stack.settings.http_port) as session:
        assert session.get("/").startswith("grouped ")
        # One ends: it starts again in place, and the others go on.
        stack.kill_container(told["beside"].container_id)
        status = stack.until("hello", lambda status: status.replica_list[0].restarts == 1 and is_complete(status))
        after = {item.name: item for item in status.replica_list[0].containers}
        assert {name for name in after if after[name].container_id != told[name].container_id} == {"beside"}
        assert (after["beside"].restarts, after["beside"].exit_code) == (1, 137)
        # A controller that comes anew finds all of them.
        stack.stop_controller(kill=True)
        stack.start_controller()
        status = stack.until("hello", is_complete)
        again = {item.name: item.container_id for item in status.replica_list[0].containers}
        assert again == {name: item.container_id for name, item in after.items()}
        # Their network is lost: all of it begins anew, in its order.
        (sandbox,) = docker_client.containers.list(filters={"label": f"{Label.SANDBOX}=1"})
        stack.kill_container(str(sandbox.id))
        status = stack.until(
            "hello",
            lambda status: (
                is_complete(status)
                and {item.container_id for item in status.replica_list[0].containers}.isdisjoint(again.values())
            ),
        )
        assert status.replica_list[0].name == before.name
        assert session.get("/").startswith("grouped ")
    stack.client.delete("default", "Service", "hello")
    stack.client.delete("default", "Deployment", "hello")
    stack.until_gone("hello")
    wanted = {"label": f"{Label.INSTANCE}={stack.settings.instance}"}
    assert docker_client.containers.list(all=True, filters=wanted) == []
    wait_for(lambda: docker_client.networks.list(filters=wanted) == [])
    assert [image.tags for image in docker_client.images.list(filters=wanted)] == [
        [f"imageforge-pause:{stack.settings.instance}"]
    ]


def bare(image: str) -> str:
    forever = "trap 'echo bye; exit 0' TERM; echo hi; while :; do sleep 0.1; done"
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: task}}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 5
  initContainers:
    - {{name: side, image: {image}, restartPolicy: Always, command: [sh, -c, "{forever}"]}}
  containers:
    - name: work
      image: {image}
      command: [sh, -c, "test -e /dev/shm/tried && echo done $(hostname) && exit 0; touch /dev/shm/tried; exit 3"]
---
apiVersion: v1
kind: Pod
metadata: {{name: fails}}
spec:
  restartPolicy: Never
  containers: [{{name: work, image: {image}, command: [sh, -c, "echo no; exit 4"]}}]
"""


def test_a_pod_of_its_own_runs_to_its_end_and_its_output_stays(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(bare(app_image))
    seen = list[PodStatus]()
    for status in stack.client.watch_pod("default", "task", timeout=60):
        seen.append(status)
        if status.phase not in (PodPhase.PENDING, PodPhase.RUNNING) and status.containers[0].done:
            break
    side, work = seen[-1].containers
    assert (seen[-1].phase, work.restarts, work.exit_code) == (PodPhase.SUCCEEDED, 1, 0)
    assert PodPhase.RUNNING in {status.phase for status in seen}
    assert (side.done, side.exit_code) == (True, 0), "it was ended when the work was done"
    lines = [(line.replica, line.text) for line in stack.client.pod_logs("default", "task")]
    assert sorted(lines) == [("side", "bye"), ("side", "hi"), ("work", "done task")]
    failed = stack.client.pod("default", "fails")
    assert (failed.phase, failed.containers[0].exit_code, failed.restarts) == (PodPhase.FAILED, 4, 0)
    # What has ended stays so, for a controller that comes anew too.
    stack.stop_controller(kill=True)
    stack.start_controller()
    wait_for(lambda: stack.client.pod("default", "task").phase is PodPhase.SUCCEEDED)
    assert stack.client.pod("default", "fails").phase is PodPhase.FAILED
    with pytest.raises(NotFound, match="no container is named"):
        list(stack.client.pod_logs("default", "task", container="nobody"))
    for name in ("task", "fails"):
        stack.client.delete("default", "Pod", name)
    wait_for(lambda: not stack.client.pods())
    wanted = {"label": f"{Label.INSTANCE}={stack.settings.instance}"}
    wait_for(lambda: docker_client.containers.list(all=True, filters=wanted) == [])

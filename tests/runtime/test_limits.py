"""Requests and limits on a real engine: what the kernel is told, who waits for room, and what ends who takes more."""

from __future__ import annotations

import json

import docker
import pytest

from tests.runtime.stack import Stack, is_complete

pytestmark = pytest.mark.engine
MI = 1024**2


def deployment(name: str, image: str, resources: str, command: str = "python3 /server.py") -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: {name}
          image: {image}
          command: {json.dumps(["sh", "-c", f"exec {command}"])}
          resources: {resources}
"""


def test_limits_reach_the_kernel_and_what_does_not_fit_waits_until_it_does(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    cpus = docker_client.info()["NCPU"]
    small = "{requests: {cpu: 250m, memory: 32Mi}, limits: {cpu: 500m, memory: 64Mi}}"
    stack.client.apply(deployment("small", app_image, small))
    replica = stack.until_complete("small").replica_list[0]
    found = docker_client.containers.get(replica.container_id).attrs["HostConfig"]
    assert (found["CpuShares"], found["CpuQuota"], found["CpuPeriod"]) == (256, 50_000, 100_000)
    assert (found["Memory"], found["MemorySwap"]) == (64 * MI, 64 * MI)
    assert 900 < found["OomScoreAdj"] < 1000
    large = f"{{limits: {{cpu: {cpus}, memory: 64Mi}}}}"
    stack.client.apply(deployment("large", app_image, large))
    waits = stack.until("large", lambda status: any(item.message for item in status.replica_list))
    (replica,) = waits.replica_list
    free = f"{cpus * 1000 - 250}m of {cpus} is free"
    why = f"0/1 nodes are available: 1 Insufficient cpu (asks for {cpus}, {free})"
    assert (replica.phase, replica.message) == ("Pending", f"Unschedulable: {why}")
    said = [event for event in stack.client.events("default") if event.name == replica.name]
    assert [(event.reason, event.message, event.warning) for event in said] == [("FailedScheduling", why, True)]
    stack.client.delete("default", "Deployment", "small")
    replica = stack.until("large", is_complete).replica_list[0]
    adj = docker_client.containers.get(replica.container_id).attrs["HostConfig"]["OomScoreAdj"]
    said = list(stack.client.events("default"))
    clamped = "OOMScoreAdjClamped" in {event.reason for event in said}
    assert {event.reason for event in said if event.warning} <= {"FailedScheduling"}, "both started as they should"
    assert (adj, clamped) in ((-997, False), (0, True)), "Guaranteed, where the kernel lets it be"
    # A controller that comes anew knows who has a place.
    stack.stop_controller(kill=True)
    stack.start_controller()
    stack.until("large", is_complete)
    stack.client.apply(deployment("small", app_image, small))
    stack.until("small", lambda status: any("0 of" in item.message for item in status.replica_list))


def test_who_takes_more_memory_is_ended_and_it_is_said(stack: Stack, app_image: str) -> None:
    greedy = "python3 -c 'x = bytearray(200 << 20)'"
    stack.client.apply(deployment("greedy", app_image, "{limits: {memory: 32Mi}}", greedy))
    status = stack.until("greedy", lambda status: any(item.restarts for item in status.replica_list))
    (replica,) = status.replica_list
    assert (replica.phase, replica.exit_code) == ("OOMKilled", 137)
    assert replica.message.startswith("killed for want of memory")

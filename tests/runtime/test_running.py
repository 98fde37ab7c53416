"""The whole way: a real engine, a real HAProxy, the controller as a process."""

from __future__ import annotations

from collections import Counter

import docker
import pytest

from runtime import Label, NotFound
from tests.runtime.load import Session
from tests.runtime.stack import Stack, manifest, wait_for

pytestmark = pytest.mark.engine


def test_three_replicas_take_turns_exactly(stack: Stack, app_image: str) -> None:
    applied = stack.client.apply(manifest(app_image))
    assert [(item.kind, item.change) for item in applied] == [("Deployment", "created"), ("Service", "created")]
    status = stack.until_complete("hello")
    assert (status.desired, status.available, status.host, status.release) == (3, 3, "hello.localhost", "7")
    with Session(stack.settings.http_port) as session:
        names = [session.get("/").split()[0] for _ in range(30)]
    assert Counter(names) == {replica.name: 10 for replica in status.replica_list}
    assert names[:3] * 10 == names
    counters = stack.client.counters("default", "hello")
    assert (counters.requests, counters.failed, set(counters.per_replica.values())) == (30, 0, {10})


def test_containers_are_labelled_and_publish_nothing(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(manifest(app_image, replicas=1))
    replica = stack.until_complete("hello").replica_list[0]
    container = docker_client.containers.get(replica.container_id)
    assert container.labels[Label.INSTANCE] == stack.settings.instance
    assert container.labels[Label.REPLICA] == replica.name
    assert container.labels[Label.RELEASE] == "7"
    host_config = container.attrs["HostConfig"]
    assert not host_config["PortBindings"]
    assert host_config["RestartPolicy"]["Name"] in ("", "no")
    assert host_config["ReadonlyRootfs"]
    assert "no-new-privileges:true" in host_config["SecurityOpt"]
    assert host_config["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    assert container.attrs["Config"]["Hostname"] == replica.name
    assert replica.listening == ("0.0.0.0:8080",)


def test_delete_leaves_nothing(stack: Stack, app_image: str, docker_client: docker.DockerClient) -> None:
    stack.client.apply(manifest(app_image, replicas=2))
    stack.until_complete("hello")
    stack.client.delete("default", "Deployment", "hello")
    stack.client.delete("default", "Service", "hello")
    list(stack.client.watch("default", "hello", timeout=30))
    with pytest.raises(NotFound):
        stack.client.deployment("default", "hello")
    wanted = {"label": f"{Label.INSTANCE}={stack.settings.instance}"}
    assert docker_client.containers.list(all=True, filters=wanted) == []
    wait_for(lambda: docker_client.networks.list(filters=wanted) == [])
    with Session(stack.settings.http_port) as session:
        wait_for(lambda: session.status("/") == 404)

"""Volumes in real containers: what follows, what survives, what goes."""

from __future__ import annotations

import docker
import pytest

from runtime import Label
from tests.runtime.stack import Stack, manifest, wait_for

pytestmark = pytest.mark.engine

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {color: COLOR}\n---\n"
CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, annotations: {imageforge.io/reclaim: Delete}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
"""
CONTAINER = """env: [{name: COLOR, valueFrom: {configMapKeyRef: {name: conf, key: color}}}]
          volumeMounts:
            - {name: conf, mountPath: /conf}
            - {name: conf, mountPath: /part, subPath: color}
            - {name: me, mountPath: /me}
            - {name: scratch, mountPath: /scratch}
            - {name: memory, mountPath: /memory}
            - {name: data, mountPath: /data}
            - {name: data, mountPath: /fixed, readOnly: true}"""
VOLUMES = """volumes:
        - {name: conf, configMap: {name: conf}}
        - {name: me, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}
        - {name: scratch}
        - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
        - {name: data, persistentVolumeClaim: {claimName: data}}"""


def volumes(stack: Stack, docker_client: docker.DockerClient) -> set[str]:
    """The engine's, without the instance's part of their names."""
    found = docker_client.volumes.list(filters={"label": f"{Label.INSTANCE}={stack.settings.instance}"})
    return {item.name.removeprefix(f"imageforge-{stack.settings.instance}-") for item in found}


def test_what_follows_what_survives_and_what_goes(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    text = manifest(app_image, replicas=1, container=CONTAINER, service=False)
    text = text.replace("      containers:", f"      {VOLUMES}\n      containers:")
    stack.client.apply(CONFIG.replace("COLOR", "red") + text)
    waiting = stack.until("hello", lambda status: any(item.message for item in status.replica_list))
    assert 'persistentvolumeclaim "data" not found' in waiting.replica_list[0].message
    stack.client.apply(CLAIM)

    def run(*command: str) -> tuple[int, str]:
        replica = stack.client.deployment("default", "hello").replica_list[0]
        done = docker_client.containers.get(replica.container_id).exec_run(list(command))
        return done.exit_code, done.output.decode()

    def read(path: str) -> str:
        return run("cat", path)[1]

    replica = stack.until_complete("hello").replica_list[0]
    assert (read("/conf/color"), read("/part"), read("/me/name")) == ("red", "red", replica.name)
    # A user other than root writes to all of them, with a root file system that is for reading only.
    for folder in ("scratch", "memory", "data"):
        assert run("sh", "-c", f"echo kept > /{folder}/file") == (0, "")
    assert read("/fixed/file") == "kept\n"
    assert run("sh", "-c", "echo no > /fixed/file")[0] != 0
    assert run("sh", "-c", "head -c 2000000 /dev/zero > /memory/big")[0] != 0

    # What is applied again reaches files and neither variables nor parts, and starts nothing.
    stack.client.apply(CONFIG.replace("COLOR", "blue"))
    wait_for(lambda: read("/conf/color") == "blue")
    assert (read("/part"), run("sh", "-c", "echo $COLOR")[1]) == ("red", "red\n")
    assert stack.client.deployment("default", "hello").replica_list[0].container_id == replica.container_id
    # What is deleted while it is used stays mounted.
    stack.client.delete("default", "ConfigMap", "conf")
    assert read("/conf/color") == "blue"
    stack.client.apply(CONFIG.replace("COLOR", "green"))
    wait_for(lambda: read("/conf/color") == "green")

    # They live as long as the replica, and not as the container.
    stack.stop_controller(kill=True)
    stack.start_controller()
    stack.kill_container(replica.container_id)
    stack.until("hello", lambda status: any(item.restarts == 1 for item in status.replica_list))
    again = stack.until_complete("hello").replica_list[0]
    assert (again.name, again.container_id == replica.container_id) == (replica.name, False)
    assert [read(f"/{folder}/file") for folder in ("scratch", "memory", "data")] == ["kept\n"] * 3
    assert (read("/part"), run("sh", "-c", "echo $COLOR")[1]) == ("green", "green\n")
    assert volumes(stack, docker_client) == {f"{replica.name}_scratch", "default_data"}

    # Another replica has the claim's data, and none of the rest.
    stack.client.restart("default", "hello")
    stack.until("hello", lambda status: [item.name for item in status.replica_list] != [replica.name])
    stack.until_complete("hello")
    wait_for(lambda: len(stack.client.deployment("default", "hello").replica_list) == 1)
    assert read("/data/file") == "kept\n"
    assert run("ls", "/scratch", "/memory")[1].split() == ["/memory:", "/scratch:"]

    # A claim that is used stays, and its data go with it, as it says.
    stack.client.delete("default", "PersistentVolumeClaim", "data")
    stack.client.delete("default", "Deployment", "hello")
    stack.until_gone("hello")
    wait_for(lambda: volumes(stack, docker_client) == set())
    assert list(stack.settings.secret_files.iterdir()) == []

"""Secrets in real containers: given, proved, and nowhere to be found in clear."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from dataclasses import replace

import docker
import pytest

from runtime import EngineError, Label, ManifestError, purge
from runtime.container import ContainerRequest, Mount
from runtime.creation import NOT_SEEN
from runtime.engine import Engine
from tests.runtime.load import Session
from tests.runtime.stack import Stack, manifest, wait_for

pytestmark = pytest.mark.engine

USES = """env:
            - {name: SECRET_A, valueFrom: {secretKeyRef: {name: keys, key: a}}}
            - {name: FOLDER, value: /run/secrets}
            %s
          envFrom: [{secretRef: {name: keys}, prefix: SECRET_}]
          volumeMounts: [{name: files, mountPath: /run/secrets, readOnly: true}]"""


def uses(image: str, extra: str = "") -> str:
    text = manifest(image, replicas=1, container=USES % extra)
    volume = "volumes: [{name: files, secret: {secretName: keys, items: [{key: f, path: token}]}}]"
    return text.replace("      containers:", f"      {volume}\n      containers:")


def keys(**values: str) -> str:
    said = "".join(f"\n  {key}: {value}" for key, value in values.items())
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\nstringData:{said}\n---\n"


def proof(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def ask(stack: Stack) -> dict[str, object]:
    with Session(stack.settings.http_port) as session:
        found: dict[str, object] = json.loads(session.get("/secrets"))
        return found


def in_clear(stack: Stack, *values: str) -> list[str]:
    return [
        str(file)
        for file in stack.home.rglob("*")
        if file.is_file() and any(value.encode() in file.read_bytes() for value in values)
    ]


def test_a_secret_reaches_its_container_after_every_interruption_and_nothing_else(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    variable, file = "v-" + secrets.token_hex(12), "f-" + secrets.token_hex(12)
    folder = stack.settings.secret_files
    # Not there yet: told in the kubelet's words, and tried again.
    stack.client.apply(uses(app_image))
    waiting = stack.until("hello", lambda status: any(item.message for item in status.replica_list))
    assert waiting.replica_list[0].phase == "CreateContainerConfigError"
    assert 'secret "keys" not found' in waiting.replica_list[0].message
    stack.client.apply(keys(a=variable))
    stack.until("hello", lambda status: any("secret key: f" in item.message for item in status.replica_list))
    stack.client.apply(keys(a=variable, f=file))
    replica = stack.until_complete("hello").replica_list[0]

    def serves() -> None:
        found = ask(stack)
        assert found["variables"] == {
            name: proof(variable if name.endswith("a") or name.endswith("A") else file)
            for name in ("SECRET_A", "SECRET_a", "SECRET_f")
        }
        assert found["files"] == {"token": [proof(file), 0o644]}
        assert (found["writable"], found["user"]) == (False, 10001)

    serves()
    inspected = json.dumps(docker_client.containers.get(replica.container_id).attrs)
    assert file in inspected  # as a variable, by envFrom
    assert folder.stat().st_mode & 0o777 == (folder / replica.name).stat().st_mode & 0o777 == 0o700

    # A controller that is killed leaves it running, and the next one can start it again.
    stack.stop_controller(kill=True)
    stack.start_controller()
    stack.kill_container(replica.container_id)
    stack.until("hello", lambda status: any(item.restarts == 1 for item in status.replica_list))
    stack.until_complete("hello")
    serves()

    # A reboot: everything is dead and the memory is empty.
    replica = stack.until_complete("hello").replica_list[0]
    stack.stop_controller(kill=True)
    stack.kill_container(replica.container_id)
    shutil.rmtree(folder)
    # Without the key nothing starts without its Secrets.
    right = stack.settings.key.read_bytes()
    stack.settings.key.unlink()
    stack.start_controller()
    told = stack.until("hello", lambda status: any("the key" in item.message for item in status.replica_list))
    assert told.replica_list[0].phase == "CreateContainerConfigError"
    assert str(stack.settings.key) in told.replica_list[0].message
    stack.settings.key.write_bytes(right)
    stack.until_complete("hello")
    serves()

    # Its last words are stored and shown with stars.
    stack.client.apply(uses(app_image, '- {name: CRASH, value: "3"}'))
    crashed = stack.until(
        "hello", lambda status: any("about" in line for item in status.replica_list for line in item.last_log)
    )
    assert ("about to crash ***",) in [item.last_log for item in crashed.replica_list]
    assert in_clear(stack, variable, file) == []
    shown = stack.client.manifests("default", "hello")
    assert variable not in shown
    with pytest.raises(ManifestError, match="were masked"):
        stack.client.apply(shown)

    stack.client.delete("default", "Deployment", "hello")
    stack.until_gone("hello")
    assert list(folder.iterdir()) == []
    assert [item.name for item in stack.client.secrets()] == ["keys"]
    stack.client.delete("default", "Secret", "keys")
    assert stack.client.secrets() == ()


def test_files_alone_are_not_in_docker_inspect_and_purge_takes_them(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    file = "f-" + secrets.token_hex(12)
    text = uses(app_image).replace("- {name: SECRET_A, valueFrom: {secretKeyRef: {name: keys, key: a}}}", "")
    text = text.replace("envFrom: [{secretRef: {name: keys}, prefix: SECRET_}]", "")
    stack.client.apply(keys(f=file) + text)
    replica = stack.until_complete("hello").replica_list[0]
    assert file not in json.dumps(docker_client.containers.get(replica.container_id).attrs)
    assert ask(stack)["files"] == {"token": [proof(file), 0o644]}
    stack.stop_controller()
    purge(stack.settings)
    assert not stack.settings.secret_files.exists()
    stack.start_controller()
    stack.until_complete("hello")
    assert ask(stack)["files"] == {"token": [proof(file), 0o644]}


def test_an_engine_that_does_not_see_our_files_says_so(stack: Stack, app_image: str) -> None:
    stack.stop_controller()
    right = stack.settings
    stack.settings = replace(right, secret_files=right.socket.parent / "files")
    stack.start_controller()
    stack.client.apply(keys(a="abcd", f="efgh") + uses(app_image))
    told = stack.until("hello", lambda status: any(item.message for item in status.replica_list))
    assert "not in memory" in told.replica_list[0].message
    # An engine elsewhere finds no such folder, and must not make one.
    engine = Engine(right.engine)
    request = ContainerRequest(
        name="imageforge-unseen",
        hostname="x",
        image=app_image,
        network="bridge",
        labels={Label.INSTANCE: right.instance},
        mounts=(Mount(source="/nowhere/at/all", target="/run/secrets"),),
    )
    with pytest.raises(EngineError, match=NOT_SEEN):
        engine.create(request)
    engine.close()
    stack.stop_controller()
    stack.settings = right
    stack.start_controller()
    stack.until_complete("hello")
    wait_for(lambda: ask(stack)["files"])

"""An image of a registry that asks for a login, pulled with the one that a Secret holds."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import docker
import pytest

from tests.plain_registry import PASSWORD, USER, registry_with_login
from tests.ports import unused_port
from tests.runtime.stack import Stack, manifest

pytestmark = pytest.mark.engine


def login(name: str, address: str, password: str) -> str:
    config = json.dumps({"auths": {address: {"username": USER, "password": password}}})
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/dockerconfigjson\n"
        f"data: {{.dockerconfigjson: {base64.b64encode(config.encode()).decode()}}}\n---\n"
    )


def test_each_login_is_tried_and_no_text_shows_it(
    stack: Stack, app_image: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    with registry_with_login(tmp_path, unused_port()) as address:
        image = f"{address}/app:1"
        docker_client.images.get(app_image).tag(image)
        docker_client.api.push(image, auth_config={"username": USER, "password": PASSWORD})
        docker_client.images.remove(image)
        text = manifest(image, replicas=1, service=False)
        names = "[{name: absent}, {name: wrong}, {name: right}]"
        text = text.replace("      containers:", f"      imagePullSecrets: {names}\n      containers:")
        stack.client.apply(login("wrong", address, "battery staple") + text)
        refused = stack.until("hello", lambda status: any(item.message for item in status.replica_list))
        assert refused.replica_list[0].phase == "ImagePullBackOff"
        assert "battery staple" not in refused.replica_list[0].message
        stack.client.apply(login("right", address, PASSWORD))
        stack.until_complete("hello")
        docker_client.images.remove(image, force=True)
    assert PASSWORD not in stack.controller_log()

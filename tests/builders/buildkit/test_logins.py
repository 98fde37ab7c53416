"""Logins for one build: beside the user's own, before a credential helper, and in no place that others see."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from builders import BuildEvent, RegistryLogin, process
from builders.buildkit.logins import with_logins
from builders.errors import BuilderError, ClientError
from tests.builders.conftest import Builder
from tests.plain_registry import PASSWORD, USER, registry_with_login

LOGIN = RegistryLogin(user="bot", password="s3:cret")


def test_the_users_own_configuration_stays(tmp_path: Path) -> None:
    user = tmp_path / "user"
    (user / "cli-plugins").mkdir(parents=True)
    own = {"auths": {"ghcr.io": {"auth": "b3du"}, "other.io": {"auth": "eA=="}}, "credsStore": "desktop"}
    (user / "config.json").write_text(json.dumps(own))
    made = with_logins(user, {"ghcr.io": LOGIN, "docker.io": LOGIN}, tmp_path / "made")
    config = json.loads((made / "config.json").read_text())
    auth = {"auth": base64.b64encode(b"bot:s3:cret").decode()}
    assert config["auths"] == {"other.io": {"auth": "eA=="}, "ghcr.io": auth, "https://index.docker.io/v1/": auth}
    assert config["credsStore"] == "desktop"
    assert config["credHelpers"] == {"ghcr.io": "", "https://index.docker.io/v1/": ""}
    assert (made / "cli-plugins").resolve() == user / "cli-plugins"
    assert (made.stat().st_mode & 0o777, (made / "config.json").stat().st_mode & 0o777) == (0o700, 0o600)
    assert json.loads((user / "config.json").read_text()) == own
    assert "s3:cret" not in repr(LOGIN)


def test_without_a_configuration_of_the_users(tmp_path: Path) -> None:
    made = with_logins(tmp_path / "none", {"r:5000": LOGIN}, tmp_path / "made")
    assert list(json.loads((made / "config.json").read_text())["auths"]) == ["r:5000"]


def test_a_configuration_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ClientError) as caught:
        with_logins(tmp_path, {"r": LOGIN}, tmp_path / "made")
    assert caught.value.code == "docker-config-unreadable"


@pytest.mark.engine
def test_a_private_base_image_is_pulled_with_the_login(
    tmp_path: Path,
    free_port: int,
    build_image: Builder,
    docker_client: docker.DockerClient,
    events: list[BuildEvent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, configurations = process.run, []

    def seen(command: list[str], *, environment: Mapping[str, str], **rest: Any) -> int:
        configurations.append(environment.get("DOCKER_CONFIG", ""))
        return real(command, environment=environment, **rest)

    monkeypatch.setattr(process, "run", seen)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder = tmp_path / "registry"
    folder.mkdir()
    with registry_with_login(folder, free_port) as address:
        name = f"{address}/base"
        built = build_image("FROM scratch\nCOPY Dockerfile /base\n")
        docker_client.images.get(built.image_id).tag(name, "1")
        try:
            login = {"username": USER, "password": PASSWORD}
            assert "error" not in docker_client.images.push(name, "1", auth_config=login)
        finally:
            docker_client.images.remove(f"{name}:1")
        private = f"FROM {name}:1\nLABEL mine=1\n"
        with pytest.raises(BuilderError) as caught:
            build_image(private, tag="2", no_cache=True)
        wrong = RegistryLogin(user=USER, password="wrong horse")
        with pytest.raises(BuilderError):
            build_image(private, tag="2", no_cache=True, registries={address: wrong})
        right = {address: RegistryLogin(user=USER, password=PASSWORD)}
        image = build_image(private, tag="2", no_cache=True, registries=right, scratch=scratch)
    # Who kills the build leaves the login in a folder that is ours to sweep, not in everybody's.
    assert Path(configurations[-1]).is_relative_to(scratch)
    assert list(scratch.iterdir()) == []
    assert name in str(caught.value)
    assert caught.value.code == "image-unavailable"
    assert "--for registry" in caught.value.hint
    assert image.config["config"]["Labels"]["mine"] == "1"
    assert image.diff_ids == built.diff_ids
    assert not [event for event in events if PASSWORD in event.text or "wrong horse" in event.text]

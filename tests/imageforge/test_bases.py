"""The base image's configuration as the engine tells it to the lint stage."""

from __future__ import annotations

import io
from pathlib import Path

import docker
import pytest

from builders import Endpoint
from imageforge.pipeline.bases import known_bases
from linters import BaseConfig, check

pytestmark = pytest.mark.engine


def test_the_engine_tells_who_a_base_runs_as(
    engine_host: str, docker_client: docker.DockerClient, instance: str, tmp_path: Path
) -> None:
    text = f'FROM scratch\nLABEL io.imageforge.instance={instance}\nENV A=b\nUSER 4711\nENTRYPOINT ["/e"]\n'
    tag = f"imageforge-test/bases:{instance}"
    docker_client.images.build(fileobj=io.BytesIO(text.encode()), tag=tag)
    bases = known_bases(Endpoint(host=engine_host, origin="test"))
    config = bases(tag)
    assert isinstance(config, BaseConfig)
    assert (config.user, config.entrypoint, config.env["A"]) == ("4711", ("/e",), "b")
    assert bases("imageforge-test/none:1") is None
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(f'FROM {tag}\nCMD ["x"]\n')
    assert "IF402" in {one.rule for one in check(dockerfile).findings}
    assert "IF402" not in {one.rule for one in check(dockerfile, bases=bases).findings}

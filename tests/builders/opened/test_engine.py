"""`imageforge squash` where the engine is the source and the sink: the commonest way, and the image runs."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest

from imageforge.cli.main import run
from tests.builders.ran import printed

from ..conftest import BASE, Builder

pytestmark = pytest.mark.engine
DOCKERFILE = f"""FROM {BASE}
RUN head -c 3000000 /dev/urandom > /cache
RUN rm /cache && echo new > /etc/motd && ln -s motd /etc/other
CMD ["cat", "/etc/other"]
"""


def test_from_the_engine_and_back_into_it(
    build_image: Builder,
    engine_host: str,
    docker_client: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    instance: str,
) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    built = build_image(DOCKERFILE)
    name = f"imageforge-test/{instance}:1"
    assert run(["squash", name, "-f", str(tmp_path / "context" / "Dockerfile"), "-o", "json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["name"], done["mode"], done["proved"]) == (f"docker-daemon:{name}-squashed", "from-base", True)
    assert done["bill"]["wasted"] > 3_000_000 > done["bill"]["wasted_after"]
    squashed = docker_client.images.get(f"{name}-squashed")
    assert squashed.id == done["image_id"]
    assert docker_client.images.get(name).id == built.image_id
    base = docker_client.images.get(BASE).attrs["RootFS"]["Layers"]
    assert squashed.attrs["RootFS"]["Layers"][:-1] == base
    assert printed(docker_client, f"{name}-squashed", instance) == b"new\n"
    assert run(["squash", name, "--from-base", "--base", "imageforge-test/none:1"]) == 4
    assert "error[image-missing]" in capsys.readouterr().err

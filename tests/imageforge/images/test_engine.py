"""The engine's images to a registry and back: the same bytes, and so the same ID."""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from imageforge.cli import image_tags
from imageforge.cli.main import run
from imageforge.report.units import megabytes
from registry import OciLayout, RegistryClient
from tests.builders.squash.layers import file, whiteout
from tests.imageforge.images.layered import put_image
from tests.registry.conftest import registry_address

__all__ = ["registry_address"]
pytestmark = pytest.mark.engine


@pytest.fixture
def image(docker_client: docker.DockerClient) -> Iterator[str]:
    """A small image of a name of its own; whatever has that name is removed afterwards."""
    name = f"copied-{secrets.token_hex(4)}"
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        entry = tarfile.TarInfo("hello")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"world"))
    docker_client.api.import_image_from_data(data.getvalue(), repository=name, tag="v1", changes=["CMD /hello"])
    yield f"{name}:v1"
    for found in docker_client.images.list(name=name):
        docker_client.images.remove(found.id, force=True)


def test_an_image_goes_out_and_comes_back_the_same(
    image: str,
    docker_client: docker.DockerClient,
    engine_host: str,
    registry_address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    identity = docker_client.images.get(image).id
    remote = f"docker://{registry_address}/{image}"
    assert run(["image", "push", image, remote, "-o", "json"]) == 0
    pushed = json.loads(capsys.readouterr().out)
    assert pushed["sent_bytes"] > 0
    assert run(["image", "push", image, remote, "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        **pushed, "sent_bytes": 0, "there_bytes": pushed["sent_bytes"],
    }  # fmt: skip
    with RegistryClient(registry_address) as client:
        assert client.get_manifest(image.partition(":")[0], "v1").digest == pushed["digest"]
    with monkeypatch.context() as applied:
        applied.setattr(image_tags, "_applied", lambda here: {f"docker.io/library/{image}": "deployment/web"})
        for name in (image, identity):
            assert run(["image", "rm", name, "--yes"]) == 3
            assert f"error[image-in-use]: {name}: deployment/web has it" in capsys.readouterr().err
        applied.setattr(image_tags, "_applied", lambda here: {"UPPER CASE": "deployment/web"})
        assert run(["image", "rm", f"docker-daemon:{image}", "--yes"]) == 0
    assert run(["image", "rm", image]) == 4
    assert f"error[image-missing]: {image}: " in capsys.readouterr().err
    with pytest.raises(docker.errors.ImageNotFound):
        docker_client.images.get(image)
    assert run(["image", "pull", remote, f"docker-daemon:{image}"]) == 0
    assert docker_client.images.get(image).id == identity
    assert run(["image", "copy", image, f"oci:{tmp_path / 'layout'}:it"]) == 0
    layout = OciLayout.open(tmp_path / "layout")
    layout.verify("it")
    assert layout.manifest("it").config.digest == identity
    assert run(["image", "copy", "nothing-of-this-name", f"oci:{tmp_path / 'layout'}:no"]) == 4
    assert "error[image-missing]" in capsys.readouterr().err
    assert layout.names() == ("it",)


def test_a_name_that_a_second_squash_takes_is_told_with_what_had_it(
    image: str,
    docker_client: docker.DockerClient,
    engine_host: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", engine_host)
    name = image.replace(":v1", "")
    layers = [[file("big", bytes(3_000_000)), file("small", "x")], [whiteout("big")]]
    put_image(tmp_path / "layout", layers, name="it", config={"config": {"Cmd": ["/x"]}})
    assert run(["image", "copy", f"oci:{tmp_path / 'layout'}:it", f"docker-daemon:{name}:two"]) == 0
    assert run(["squash", f"{name}:two", "--all"]) == 0
    assert "until now" not in capsys.readouterr().err
    small = docker_client.images.get(f"{name}:two-squashed")
    assert run(["squash", f"{name}:two", "--all"]) == 0
    assert "until now" not in capsys.readouterr().err, "it is the same image"

    assert run(["squash", f"{name}:two", "--keep-layers", "2"]) == 0
    told = capsys.readouterr().err
    short = small.id.removeprefix("sha256:")[:12]
    size = f"{megabytes(small.attrs['Size'])}, smaller than this one"
    assert f"  note: {name}:two-squashed was {short} until now, {size}; to name that again: imageforge" in told
    assert docker_client.images.get(f"{name}:two-squashed").id != small.id
    # As it is told.
    assert run(["image", "copy", short, f"docker-daemon:{name}:kept"]) == 0
    assert docker_client.images.get(f"{name}:kept").id == small.id

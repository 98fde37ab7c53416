"""The commands for images, from a layout to a registry and back. A real registry; no engine."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from builders import zstd
from imageforge.cli import image_tags
from imageforge.cli.main import run
from registry import OciLayout, RegistryClient
from tests.registry.conftest import Maker, make, noise, proxy, registry_address
from tests.registry.faulty import Proxy

__all__ = ["make", "noise", "proxy", "registry_address"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "home"


def test_an_index_goes_whole_and_comes_back_whole_or_one_image_of_it(
    make: Maker, proxy: Proxy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = make.index()
    make.layout.put(index.raw, index.media_type, "all")
    remote = f"docker://{proxy.address}/cli/index"
    assert run(["image", "copy", f"oci:{make.layout.path}:all", f"{remote}:v1", "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["manifests"] == 4
    assert run(["image", "copy", f"{remote}:v1", f"oci:{tmp_path / 'back'}:all"]) == 0
    back = OciLayout.open(tmp_path / "back")
    assert back.manifest_descriptor("all").digest == said["digest"]
    blobs = {file.name for file in (make.layout.path / "blobs" / "sha256").iterdir()}
    assert {file.name for file in (back.path / "blobs" / "sha256").iterdir()} == blobs
    assert not (back.path / ".partial").exists()
    assert run(["image", "pull", f"{remote}:v1", f"oci:{tmp_path / 'back'}:arm", "--platform", "linux/arm64"]) == 0
    assert back.config("arm")["architecture"] == "arm64"
    assert back.names() == ("all", "arm")
    capsys.readouterr()
    assert run(["image", "pull", f"{remote}:v1", f"oci:{tmp_path / 'none'}", "--platform", "linux/riscv64"]) == 1
    assert "error[no-such-platform]" in (told := capsys.readouterr().err)
    assert "linux/amd64, linux/arm64" in told
    assert not (tmp_path / "none").exists()


def test_a_layout_of_several_images_asks_for_a_name(
    make: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b", "a"):
        make.layout.put_manifest(make.image(name.encode()), name)
    assert run(["image", "copy", f"oci:{make.layout.path}", f"oci:{tmp_path / 'out'}:x"]) == 1
    said = capsys.readouterr().err
    assert "error[several-images]" in said
    assert "expected one image, found 2: a, b" in said
    assert f"hint: name one, such as oci:{make.layout.path}:" in said


def test_tags_are_listed_and_taken_away(make: Maker, proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    make.layout.put_manifest(make.image(b"one"), "a")
    remote = f"docker://{proxy.address}/cli/tags"
    for tag in ("v1", "v2"):
        assert run(["image", "push", f"oci:{make.layout.path}:a", f"{remote}:{tag}"]) == 0
    assert run(["image", "tags", remote, "-o", "json"]) == 0
    out = capsys.readouterr().out
    assert [row["tag"] for row in json.loads(out[out.index("[") :])] == ["v1", "v2"]
    assert run(["image", "rm", f"{remote}:v1"]) == 3
    assert "error[not-confirmed]" in capsys.readouterr().err
    assert run(["image", "rm", f"{remote}:v1", "--yes"]) == 3
    assert "error[other-tags]" in capsys.readouterr().err
    with RegistryClient(proxy.address) as client:
        assert client.tags("cli/tags") == ("v1", "v2")
        assert run(["image", "rm", f"{remote}:v1", "--yes", "--all-tags"]) == 0
        assert client.tags("cli/tags") == ()
    assert run(["image", "rm", f"{remote}:v1", "--yes"]) == 4
    assert "error[registry-manifest-unknown]" in capsys.readouterr().err
    assert run(["image", "tags", f"docker://{proxy.address}/cli/nothing"]) == 4
    assert "error[registry-name-unknown]" in capsys.readouterr().err


def test_what_an_applied_object_names_is_not_taken_away(
    make: Maker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make.layout.put_manifest(make.image(b"one"), "a")
    make.layout.put_manifest(make.image(b"two"), "b")
    name = f"{proxy.address}/cli/applied"
    for tag in ("a", "b"):
        assert run(["image", "push", f"oci:{make.layout.path}:{tag}", f"docker://{name}:{tag}"]) == 0
    digest = make.layout.manifest_descriptor("a").digest
    for image in (f"{name}:a", f"{name}@{digest}"):
        monkeypatch.setattr(image_tags, "_applied", lambda here, image=image: {image: "deployment/web of shop"})
        assert run(["image", "rm", f"docker://{name}:a", "--yes"]) == 3
        assert "deployment/web of shop has it" in capsys.readouterr().err
    # An object whose image is no name at all has none, and is in nobody's way.
    monkeypatch.setattr(image_tags, "_applied", lambda here: dict.fromkeys(["UPPER CASE", ""], "deployment/web"))
    assert run(["image", "rm", f"docker://{name}:b", "--yes"]) == 0


def test_a_name_is_taken_out_of_a_layout_with_what_it_alone_had(
    make: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = b"shared"
    make.layout.put_manifest(make.image(shared, b"one"), "a")
    make.layout.put_manifest(make.image(shared, b"two"), "b")
    assert run(["image", "rm", f"oci:{make.layout.path}:a", "--yes"]) == 0
    assert make.layout.names() == ("b",)
    make.layout.verify("b")
    # A manifest, a configuration and two layers.
    assert len(list((make.layout.path / "blobs" / "sha256").iterdir())) == 4
    assert run(["image", "rm", f"oci:{make.layout.path}:a", "--yes"]) == 1
    assert "error[no-such-image]" in capsys.readouterr().err


def test_archives_are_read_and_written(
    proxy: Proxy, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "saved.tar"
    config = _docker_archive(saved)
    remote = f"docker://{proxy.address}/cli/archive:v1"
    assert run(["image", "copy", f"docker-archive:{saved}", remote]) == 0
    assert run(["image", "pull", remote, f"docker-archive:{tmp_path / 'pulled.tar'}:shop:42"]) == 0
    with tarfile.open(tmp_path / "pulled.tar") as archive:
        (entry,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        assert entry["RepoTags"] == ["shop:42"]
        assert (archive.extractfile(entry["Config"]) or io.BytesIO()).read() == config
    # Packed, the same image comes out of it.
    for suffix, packed in (("gz", gzip.compress(saved.read_bytes())), ("zst", zstd.pack(saved.read_bytes(), 1))):
        (tmp_path / f"saved.tar.{suffix}").write_bytes(packed)
        assert run(["image", "diff", f"docker-archive:{tmp_path}/saved.tar.{suffix}", remote]) == 0
        (tmp_path / f"short.tar.{suffix}").write_bytes(packed[:-20])
        capsys.readouterr()
        assert run(["image", "diff", f"docker-archive:{tmp_path}/short.tar.{suffix}", remote]) != 0
        assert "error[archive-damaged]" in capsys.readouterr().err
    assert list((home / "state" / "scratch").iterdir()) == []
    capsys.readouterr()
    assert run(["image", "copy", f"docker-archive:{tmp_path / 'nothing.tar'}", remote]) == 1
    assert "error[archive-missing]" in capsys.readouterr().err


def _docker_archive(file: Path) -> bytes:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as layer:
        entry = tarfile.TarInfo("hello")
        entry.size = 5
        layer.addfile(entry, io.BytesIO(b"world"))
    diff_id = f"sha256:{hashlib.sha256(inner.getvalue()).hexdigest()}"
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    ).encode()
    parts = {
        "c.json": config,
        "l/layer.tar": inner.getvalue(),
        "manifest.json": json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["l/layer.tar"]}]).encode(),
    }
    with tarfile.open(file, "w") as archive:
        for name, data in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return config


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["copy", "dir:/tmp", "oci:x"], "unknown-transport", 3),
        (["copy", "oci:/nowhere", "docker://r.invalid/x"], "layout-missing", 1),
        (["copy", "oci:x", "docker-archive:y", "--all-platforms"], "one-platform", 3),
        (["copy", "oci:x", "oci:y", "--platform", "amd64"], "invalid-platform", 3),
        (["pull", "docker://r.invalid/x@sha256:" + "0" * 64], "no-name", 3),
        (["push", "oci:x"], "no-name", 3),
        (["tags", "docker-daemon:x"], "not-a-repository", 3),
        (["copy", "oci:x", "oci:y", "--ca", "/nowhere"], "ca-missing", 3),
        (["copy", "oci:x", "oci:y", "--plain-http", "http://r"], "invalid-reference", 3),
        (["copy", "oci:x:a", "oci:x:a"], "same-place", 3),
    ],
)
def test_usage(arguments: list[str], code: str, exit_code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["image", *arguments]) == exit_code
    assert f"error[{code}]" in capsys.readouterr().err

"""`imageforge squash` from layouts, archives and registries to such. A real registry; no engine."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imageforge.cli.main import run
from registry import MediaType, OciLayout, RegistryClient
from tests.builders.squash.layers import file, folder, items_of, merged, seen, tar_of, whiteout
from tests.registry.conftest import registry_address

from .layered import put_image, sha256

__all__ = ["registry_address"]

BASE = [[folder("bin"), file("bin/sh", os.urandom(200_000))], [file("etc/os-release", "debian")]]
ABOVE = [
    [file("cache", os.urandom(900_000)), file("app/main", "one")],
    [whiteout("cache"), file("app/main", "two")],
    [file("app/static", "x" * 1000)],
]
HISTORY = [
    {"created_by": "base 1"},
    {"created_by": "base 2"},
    {"created_by": "RUN make", "created": "2026-01-01T00:00:00Z"},
    {"created_by": "ENV A=1", "empty_layer": True},
    {"created_by": "RUN rm cache", "created": "2026-01-02T00:00:00Z"},
    {"created_by": "COPY static", "created": "2026-01-03T00:00:00Z"},
]
Squash = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "home"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A layout with `base` and, on it, `app`."""
    layout = tmp_path / "images"
    put_image(layout, BASE, name="base")
    put_image(
        layout,
        [*BASE, *ABOVE],
        name="app",
        config={"config": {"Healthcheck": {"Test": ["NONE"]}}, "history": HISTORY},
        annotations={"org.example.team": "shop"},
    )
    return layout


@pytest.fixture
def squash(capsys: pytest.CaptureFixture[str]) -> Squash:
    def run_it(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        code = run(["squash", *map(str, arguments), "-o", "json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        found: dict[str, Any] = json.loads(said.out)
        return found

    return run_it


def trees(layout: OciLayout, name: str | None) -> dict[str, object]:
    blobs = [layout.blob_path(layer.digest).read_bytes() for layer in layout.manifest(name).layers]
    return seen(merged([items_of(gzip.decompress(blob)) for blob in blobs]))


@pytest.mark.parametrize(
    ("how", "layers", "mode"),
    [
        (["--all"], 1, "all"),
        (["--from-base", "--base", "oci:{images}:base"], 3, "from-base"),
        (["--keep-layers", "3"], 4, "keep-layers"),
        (["--keep-layers", "4"], 5, "none"),
        (["--keep-layers", "5"], 5, "none"),
    ],
)
def test_what_is_merged_and_what_stays(images: Path, squash: Squash, how: list[str], layers: int, mode: str) -> None:
    done = squash(f"oci:{images}:app", f"oci:{images}:small", *(word.format(images=images) for word in how))
    layout = OciLayout.open(images)
    before, after = layout.manifest("app"), layout.manifest("small")
    assert (len(after.layers), done["mode"], done["digest"]) == (layers, mode, after.digest)
    kept = min(layers, 5) - (layers < 5)
    # What stays keeps its blob, and so its digest: no registry is sent it again.
    assert [layer.digest for layer in after.layers[:kept]] == [layer.digest for layer in before.layers[:kept]]
    assert trees(layout, "small") == trees(layout, "app")
    assert after.annotations == {"org.example.team": "shop"}
    config = layout.config("small")
    assert config["config"] == {"Healthcheck": {"Test": ["NONE"]}}
    history = config["history"]
    assert sum(not entry.get("empty_layer") for entry in history) == layers
    assert [entry for entry in history if entry["created_by"] != "imageforge squash"] != []
    assert {"created_by": "ENV A=1", "empty_layer": True} in history
    assert [entry["created_by"] for entry in history if entry.get("created_by") == "imageforge squash"] == (
        [] if layers == 5 else ["imageforge squash"]
    )


def test_an_image_that_is_left_alone_keeps_its_digest(images: Path, squash: Squash) -> None:
    layout = OciLayout.open(images)
    raw = json.dumps({**json.loads(layout.manifest("app").raw), "org.example.unknown": 1}, indent=1).encode()
    digest = layout.put(raw, MediaType.OCI_MANIFEST, "indented").digest
    done = squash(f"oci:{images}:indented", f"oci:{images}:small")
    assert (done["mode"], done["note"]) == ("none", "the base image is not known")
    assert done["digest"] == layout.manifest_descriptor("small").digest == digest


def test_the_base_that_the_image_names(tmp_path: Path, squash: Squash, registry_address: str) -> None:
    base = f"{registry_address}/named/base:1"
    layout = tmp_path / "images"
    put_image(layout, BASE, name="base")
    assert run(["image", "push", f"oci:{layout}:base", base]) == 0
    put_image(layout, [*BASE, *ABOVE], name="app", annotations={"org.opencontainers.image.base.name": base})
    assert run(["image", "push", f"oci:{layout}:app", f"{registry_address}/named/app:1"]) == 0
    done = squash(f"docker://{registry_address}/named/app:1", f"docker://{registry_address}/named/app:2", "--from-base")
    assert (done["mode"], done["layers_after"], done["bill"]["base_lost"]) == ("from-base", 3, 0)
    # What the target has, as built, is not sent again; the merged layer is.
    assert (done["bill"]["as_built"]["push"], done["bill"]["as_shipped"]["push"] > 0) == (0, True)
    with RegistryClient(registry_address) as client:
        assert client.get_manifest("named/app", "2").digest == done["digest"]
        assert done["name"] == f"{registry_address}/named/app@{done['digest']}"


def test_the_bill_decides_and_is_shown(images: Path, squash: Squash, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--base", f"oci:{images}:base"]
    done = squash(f"oci:{images}:app", f"oci:{images}:small", *base)
    bill = done["bill"]
    assert (done["mode"], done["layers_after"]) == ("from-base", 3), done["note"]
    assert bill["wasted"] > 900_000 > bill["wasted_after"]
    assert bill["as_shipped"]["push"] < bill["as_built"]["push"] - 800_000
    assert bill["bytes_after"] == pytest.approx(done["bytes_after"], abs=40_000)  # tars end in zeros, up to 10 kB each
    assert run(["squash", f"oci:{images}:app", f"oci:{images}:small", *base]) == 0
    said = capsys.readouterr()
    assert said.out == f"oci:{images}:small\n"
    assert "5 -> 3 layers" in said.err
    assert "a later push" in said.err


def test_from_an_archive_and_into_one(images: Path, tmp_path: Path, squash: Squash, home: Path) -> None:
    saved, small = tmp_path / "saved.tar", tmp_path / "small.tar"
    assert run(["image", "copy", f"oci:{images}:app", f"docker-archive:{saved}:shop:1"]) == 0
    (tmp_path / "saved.tar.gz").write_bytes(gzip.compress(saved.read_bytes(), 1))
    plain = squash(f"docker-archive:{saved}", f"docker-archive:{small}:shop:2", "--all")
    packed = squash(f"docker-archive:{saved}.gz", f"oci:{tmp_path / 'out'}", "--all")
    assert plain["digest"] == packed["digest"]
    again = squash(f"docker-archive:{small}", f"oci:{tmp_path / 'again'}")
    assert (again["mode"], again["image_id"]) == ("none", plain["image_id"])
    assert list((home / "state" / "scratch").iterdir()) == []


def test_what_an_image_says_of_its_base_leads_nowhere_else(
    images: Path, tmp_path: Path, squash: Squash, capsys: pytest.CaptureFixture[str]
) -> None:
    """A label is written by anybody: it opens no file, and asks no registry but the image's own."""
    for name in (f"oci:{images}:base", f"docker-archive:{images}", "127.0.0.1:1/base:1", "!", "docker://x/y"):
        put_image(images, [*BASE, *ABOVE], name="app", annotations={"org.opencontainers.image.base.name": name})
        assert squash(f"oci:{images}:app", f"oci:{images}:small")["note"] == "the base image is not known"
        code = run(["squash", f"oci:{images}:app", f"oci:{images}:small", "--from-base"])
        assert (code, "error[base-unknown]" in capsys.readouterr().err) == (1, True)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = run(["squash", *map(str, arguments)])
    said = capsys.readouterr().err
    assert "error[internal]" not in said, said
    return code, said.partition("error[")[2].partition("]")[0]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["oci:{i}:app"], "no-name", 3),
        (["docker-archive:{i}"], "no-name", 3),
        (["sha256:" + "0" * 64], "no-name", 3),
        (["shop:1", "docker-daemon:shop:1"], "same-place", 3),
        (["shop", "shop:latest"], "same-place", 3),
        (["oci:{i}:app", "oci:{i}/../images:app"], "same-place", 3),
        (["oci:{i}:app", "oci:{i}:x", "--all", "--from-base"], "usage", 3),
        (["oci:{i}:app", "oci:{i}:x", "--from-base"], "base-unknown", 1),
        (["oci:{i}:base", "oci:{i}:x", "--from-base", "--base", "oci:{i}:app"], "base-mismatch", 1),
        (["oci:{i}:app", "oci:{i}:x", "--keep-layers", "6"], "too-few-layers", 1),
        (["oci:{i}:app", "oci:{i}:x", "--base", "oci:{i}:none"], "no-such-image", 1),
        (["oci:{i}:app", "oci:{i}:x", "--platform", "linux/arm64"], "no-such-platform", 1),
        (["oci:{i}:app", "oci:{i}:x", "--max-entries", "3"], "too-many-entries", 1),
        (["oci:{i}:app", "oci:{i}:x", "--max-bytes", "1000"], "image-too-large", 1),
        (["docker-archive:{i}/index.json", "oci:{i}:x"], "archive-damaged", 1),
        (["docker-archive:{i}/none", "oci:{i}:x"], "archive-missing", 1),
        (["dir:{i}", "oci:{i}:x"], "unknown-transport", 3),
    ],
)
def test_what_makes_no_sense(
    images: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str, exit_code: int
) -> None:
    assert refused(capsys, *(word.format(i=images) for word in arguments)) == (exit_code, code)
    assert OciLayout.open(images).names() == ("app", "base")


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "history of numbers": {"history": [1]},
    "history that is none": {"history": {"created_by": "x"}},
    "settings that are none": {"config": ["x"]},
    "rootfs that is none": {"rootfs": ["x"]},
    "diff-IDs that are none": {"rootfs": {"diff_ids": [1]}},
}


def evil(images: Path, what: str) -> None:
    """An image `evil` that is not what it should be."""
    tar = tar_of([file("a", b"x" * 5000)])
    layers: dict[str, bytes] = {
        "traversal": tar_of([file("../../etc/passwd", "x")]),
        "traversing link": tar_of([file("a", "x"), file("b", "x").but(kind="hardlink", target="../a")]),
        "truncated tar": tar[:-6000],
        "garbage": b"this is no tar at all" * 100,
        "lying size": tar[:124] + b"77777777777\0" + tar[136:],
        "bomb": bytes(512) + bytes(100 << 20),
    }
    manifest = put_image(images, [layers.get(what, tar)], name="evil")
    layout = OciLayout.open(images)
    layer = layout.manifest("evil").layers[0]
    raw = json.loads(manifest.raw)
    packed = layout.blob_path(layer.digest).read_bytes()
    config = layout.config("evil")
    blobs = {"truncated gzip": packed[:-20], "no gzip": b"not compressed"}
    documents = {
        "wrong diff-ID": config | {"rootfs": {"diff_ids": [sha256(b"another")]}},
        "configuration": [1],
        **{name: config | changes for name, changes in CONFIGURATIONS.items()},
    }
    types = {
        "foreign": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "zstd": MediaType.OCI_LAYER_ZSTD,
    }
    if what in documents:
        data = json.dumps(documents[what]).encode()
        raw["config"] |= {"digest": layout.add_blob(data), "size": len(data)}
    if what in blobs:
        raw["layers"][0] |= {"digest": layout.add_blob(blobs[what]), "size": len(blobs[what])}
    if what in types:
        raw["layers"][0]["mediaType"] = types[what]
    if what == "more layers than diff-IDs":
        raw["layers"] *= 2
    if what == "size of the blob":
        raw["layers"][0]["size"] += 1
    if what == "wrong digest":
        layout.blob_path(layer.digest).write_bytes(b"x" * layer.size)
    layout.put(json.dumps(raw).encode(), MediaType.OCI_MANIFEST, "evil")


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("traversal", "unsafe-path"),
        ("traversing link", "unsafe-path"),
        ("truncated tar", "layer-damaged"),
        ("garbage", "layer-damaged"),
        ("lying size", "layer-damaged"),
        ("bomb", "layer-bomb"),
        ("wrong diff-ID", "wrong-diff-id"),
        ("more layers than diff-IDs", "image-damaged"),
        ("foreign", "foreign-layer"),
        ("zstd", "layer-damaged"),
        ("wrong digest", "blob-damaged"),
        ("truncated gzip", "layer-damaged"),
        ("no gzip", "layer-damaged"),
        ("size of the blob", "blob-damaged"),
        ("configuration", "image-damaged"),
        *((what, "image-damaged") for what in CONFIGURATIONS),
    ],
)
def test_images_that_are_not_what_they_say(
    images: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], what: str, code: str
) -> None:
    evil(images, what)
    name = f"oci:{images}:evil"
    assert refused(capsys, name, f"oci:{tmp_path / 'out'}:x", "--all") == (1, code)
    for command in (["inspect", name], ["diff", f"oci:{images}:base", name]):
        assert run(["image", *command]) == 1
        said = capsys.readouterr()
        assert (f"error[{code}]" in said.err, said.out) == (True, "")
        assert code != "wrong-diff-id" or "saved anew" in said.err
    assert not (tmp_path / "out").exists()
    assert list((home / "state" / "scratch").iterdir()) == []


def test_a_bomb_in_an_archive(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bomb = tmp_path / "bomb.tar.gz"
    bomb.write_bytes(gzip.compress(tar_of([file("part", bytes(100 << 20))]), 9))
    assert refused(capsys, f"docker-archive:{bomb}", f"oci:{images}:x") == (1, "layer-bomb")
    assert run(["image", "copy", f"docker-archive:{bomb}", f"oci:{images}:x"]) == 1
    assert "error[layer-bomb]" in capsys.readouterr().err
    assert OciLayout.open(images).names() == ("app", "base")
    put_image(images, [bytes(512) + bytes(100 << 20)], name="evil")
    assert run(["image", "copy", f"oci:{images}:evil", f"docker-archive:{tmp_path / 'inner.tar'}"]) == 0
    capsys.readouterr()
    assert refused(capsys, f"docker-archive:{tmp_path / 'inner.tar'}", f"oci:{images}:x") == (1, "layer-bomb")


@pytest.mark.parametrize(
    ("how", "media_type"),
    [
        ("fast", MediaType.OCI_LAYER_GZIP),
        ("balanced", MediaType.OCI_LAYER_GZIP),
        ("small", MediaType.OCI_LAYER_GZIP),
        ("zstd", MediaType.OCI_LAYER_ZSTD),
    ],
)
def test_merged_layers_are_packed_as_is_asked(
    images: Path, tmp_path: Path, squash: Squash, how: str, media_type: MediaType
) -> None:
    squash(
        f"oci:{images}:app",
        f"oci:{tmp_path / 'out'}:x",
        "--from-base",
        "--base",
        f"oci:{images}:base",
        "--compression",
        how,
    )
    before, after = OciLayout.open(images).manifest("app"), OciLayout.open(tmp_path / "out").manifest("x")
    assert after.layers[:2] == before.layers[:2], "layers that stay keep their blobs"
    assert after.layers[2].media_type == media_type
    again = squash(f"oci:{tmp_path / 'out'}:x", f"oci:{tmp_path / 'again'}:x", "--all")
    assert again["proved"]
    assert run(["image", "diff", f"oci:{images}:app", f"oci:{tmp_path / 'again'}:x"]) == 0
    assert run(["image", "inspect", f"oci:{tmp_path / 'out'}:x"]) == 0


def test_an_archive_in_zstd_and_back(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive has its layers plain, so that every engine reads it."""
    first, second, out = tmp_path / "a.tar", tmp_path / "b.tar", f"oci:{tmp_path / 'out'}:x"
    for command in (
        [f"oci:{images}:app", f"docker-archive:{first}"],
        [f"docker-archive:{first}", out, "--compression", "zstd"],
        [out, f"docker-archive:{second}"],
    ):
        assert run(["image", "copy", *command]) == 0, capsys.readouterr().err
    layers = OciLayout.open(tmp_path / "out").manifest("x").layers
    assert {layer.media_type for layer in layers} == {MediaType.OCI_LAYER_ZSTD}
    with tarfile.open(second) as archive:
        lowest = archive.extractfile(json.load(archive.extractfile("manifest.json"))[0]["Layers"][0])  # type: ignore[arg-type]
        assert lowest is not None
        assert lowest.read(4) == b"bin/"
    assert run(["image", "diff", f"oci:{images}:app", f"docker-archive:{second}"]) == 0


def test_what_is_packed_already_is_not_packed_again(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["image", "copy", f"oci:{images}:app", f"oci:{tmp_path / 'out'}:x", "--compression", "small"]
    assert run(arguments) == 3
    assert "error[packed-already]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["image", "copy"], ["squash", "--keep-layers", "2"]], ids=["copy", "squash"])
def test_a_layer_that_is_damaged_in_the_store_is_made_again_the_next_time(
    images: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    archive = f"docker-archive:{tmp_path / 'app.tar'}"
    assert run(["image", "copy", f"oci:{images}:app", archive]) == 0
    assert run([*command, archive, f"oci:{tmp_path / 'first'}:x"]) == 0
    first = OciLayout.open(tmp_path / "first").manifest("x")
    shutil.rmtree(tmp_path / "first")
    (stored,) = home.rglob(f"blobs/sha256/{first.layers[0].digest.removeprefix('sha256:')}")
    raw = bytearray(stored.read_bytes())
    raw[len(raw) // 2] ^= 1
    stored.write_bytes(raw)
    capsys.readouterr()
    assert run([*command, archive, f"oci:{tmp_path / 'second'}:x"]) == 1
    assert "error[blob-damaged]" in (said := capsys.readouterr().err)
    assert "do it again" in said
    assert run([*command, archive, f"oci:{tmp_path / 'second'}:x"]) == 0
    assert OciLayout.open(tmp_path / "second").manifest("x").raw == first.raw
    OciLayout.open(tmp_path / "second").verify("x")

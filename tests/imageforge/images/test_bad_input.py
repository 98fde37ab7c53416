"""Images that are more than they seem, or others than were asked for: refused by name, unless a flag says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageforge.cli.main import run
from registry import OciLayout
from tests.builders.squash.layers import file
from tests.imageforge.images.layered import put_image
from tests.registry.conftest import registry_address

__all__ = ["registry_address"]

BOMB = bytes(512) + bytes(100 << 20)
"""A layer of nothing but the tar's end: 100 MiB out of 100 kB."""
Words = list[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "home"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A layout with a bomb, an image for another machine, one with a layer of no known kind, and a good one."""
    folder = tmp_path / "images"
    put_image(folder, [[file("a", "x" * 5000)], [file("b", "y")]], name="good")
    put_image(folder, [BOMB], name="bomb")
    put_image(folder, [[file("a", "x")]], name="arm", config={"architecture": "arm64"})
    put_image(folder, [[file("a", "x")]], name="floppy", media_type="application/x-floppy")
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    code = run([*words])
    said = capsys.readouterr()
    assert (code, said.out) == (1, ""), said
    return said.err


def test_what_a_copy_unpacks_is_bounded_and_a_flag_says_by_how_much(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = f"docker-archive:{tmp_path / 'bomb.tar'}"
    # Nothing is unpacked here.
    assert run(["image", "copy", f"oci:{images}:bomb", archive]) == 0
    place = f"oci:{tmp_path / 'kept'}:v1"
    err = refused(capsys, "image", "copy", archive, place)
    assert "error[layer-bomb]" in err
    assert "--max-ratio N" in err
    err = refused(capsys, "image", "copy", archive, place, "--max-ratio", "5000", "--max-bytes", "1000000")
    assert "error[image-too-large]" in err
    assert "--max-bytes N" in err
    assert not (tmp_path / "kept").exists()
    assert run(["image", "copy", archive, place, "--max-ratio", "5000"]) == 0
    OciLayout.open(tmp_path / "kept").verify("v1")


@pytest.mark.parametrize(("flag", "value"), [("--max-entries", "1"), ("--max-bytes", "1000"), ("--max-ratio", "5000")])
def test_each_limit_of_a_squash_is_a_flag(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    name = "bomb" if flag == "--max-ratio" else "good"
    words = ["squash", f"oci:{images}:{name}", f"oci:{tmp_path / 'out'}:x", "--all"]
    kept, let = (words, [*words, flag, value]) if name == "bomb" else ([*words, flag, value], words)
    assert flag in refused(capsys, *kept)
    assert run(let) == 0


def test_a_layer_of_no_known_kind_goes_nowhere(
    images: Path, tmp_path: Path, registry_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"oci:{images}:floppy"
    for words in (
        ["image", "copy", source, f"oci:{tmp_path / 'out'}:x"],
        ["image", "push", source, f"docker://{registry_address}/floppy:v1"],
        ["squash", source, f"oci:{tmp_path / 'out'}:x", "--all"],
        ["image", "inspect", source],
    ):
        assert "error[unknown-media-type]" in refused(capsys, *words)
    assert not (tmp_path / "out").exists()
    # Not even a repository came of it.
    assert run(["image", "tags", f"docker://{registry_address}/floppy"]) == 4
    assert "error[registry-name-unknown]" in capsys.readouterr().err


def test_an_image_for_another_machine_is_not_taken_for_ours(
    images: Path, tmp_path: Path, registry_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    remote, archive = f"docker://{registry_address}/arm:v1", f"docker-archive:{tmp_path / 'arm.tar'}"
    assert run(["image", "push", f"oci:{images}:arm", remote]) == 0
    for words in (
        ["image", "pull", remote, archive, "--platform", "linux/amd64"],
        ["image", "pull", remote, f"oci:{tmp_path / 'out'}:x", "--platform", "linux/amd64"],
        ["image", "copy", f"oci:{images}:arm", f"oci:{tmp_path / 'out'}:x", "--platform", "linux/amd64"],
        ["squash", remote, f"oci:{tmp_path / 'out'}:x", "--platform", "linux/amd64"],
        ["image", "inspect", remote, "--platform", "linux/amd64"],
    ):
        err = refused(capsys, *words)
        assert "error[no-such-platform]" in err
        assert "arm64" in err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "arm.tar").exists()
    assert run(["image", "pull", remote, archive, "--platform", "linux/arm64"]) == 0
    assert run(["image", "copy", archive, f"oci:{tmp_path / 'out'}:x", "--platform", "linux/arm64"]) == 0
    told = refused(capsys, "image", "copy", archive, f"oci:{tmp_path / 'other'}:x", "--platform", "linux/amd64")
    assert f"error[no-such-platform]: {archive}: " in told, "it is named as the caller named it"


def test_a_path_that_is_twice_in_a_layer_is_once_in_the_squashed_one(images: Path, tmp_path: Path) -> None:
    put_image(images, [[file("f", "first"), file("f", "second")], [file("g", "x")]], name="twice")
    assert run(["squash", f"oci:{images}:twice", f"oci:{tmp_path / 'out'}:x", "--all"]) == 0
    assert run(["image", "diff", f"oci:{images}:twice", f"oci:{tmp_path / 'out'}:x"]) == 0

"""`imageforge image diff`: every kind of difference, and none between an image and what a squash makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imageforge.cli.main import run
from tests.builders.squash.layers import Item, file, folder, hardlink, opaque, symlink, whiteout

from .layered import put_image

BASE = [folder("d"), file("d/old", "old"), file("keep", "k")]
ABOVE = [file("f", "one", mtime="5"), file("h1", "h"), hardlink("h2", "h1"), symlink("s", "f"), file("gone", "g")]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")


def compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one: list[list[Item]], other: list[list[Item]], *more: str
) -> tuple[int, list[tuple[str, str, list[str]]]]:
    put_image(tmp_path / "images", one, name="a")
    put_image(tmp_path / "images", other, name="b")
    capsys.readouterr()
    code = run(["image", "diff", f"oci:{tmp_path}/images:a", f"oci:{tmp_path}/images:b", "-o", "json", *more])
    said = json.loads(capsys.readouterr().out)
    assert said["config"] == []
    return code, [(path["change"], path["path"], path["what"]) for path in said["paths"]]


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        ([], None),
        ([file("f", "one", mtime="6")], None),
        ([file("new", "n")], ("added", "/new", [])),
        ([whiteout("gone")], ("removed", "/gone", [])),
        ([folder("d"), opaque("d")], ("removed", "/d/old", [])),
        ([file("f", "two")], ("changed", "/f", ["content"])),
        ([file("f", "longer")], ("changed", "/f", ["content"])),
        ([file("f", "one").but(mode=0o600)], ("changed", "/f", ["mode"])),
        ([file("f", "two").but(mode=0o600, uid=7, gid=8)], ("changed", "/f", ["mode", "owner", "group", "content"])),
        ([file("f", "one", pax={"SCHILY.xattr.user.x": "1"})], ("changed", "/f", ["xattrs"])),
        ([symlink("s", "d")], ("changed", "/s", ["target"])),
        ([folder("f")], ("changed", "/f", ["type"])),
        ([file("h2", "h")], ("changed", "/h2", ["links"])),
    ],
)
def test_what_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    layer: list[Item],
    found: tuple[str, str, list[str]] | None,
) -> None:
    code, paths = compared(tmp_path, capsys, [BASE, ABOVE], [BASE, ABOVE, layer])
    assert (code, paths) == ((1, [found]) if found else (0, []))


def test_times_are_told_where_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, paths = compared(tmp_path, capsys, [BASE, ABOVE], [BASE, ABOVE, [file("f", "one", mtime="6")]], "--times")
    assert (code, paths) == (1, [("changed", "/f", ["time"])])


def test_a_squash_makes_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_image(tmp_path / "images", [BASE, ABOVE, [whiteout("gone"), file("f", "two")]], name="a")
    assert run(["squash", f"oci:{tmp_path}/images:a", f"oci:{tmp_path}/images:b", "--all"]) == 0
    capsys.readouterr()
    assert run(["image", "diff", f"oci:{tmp_path}/images:a", f"oci:{tmp_path}/images:b", "--times"]) == 0
    assert "no difference" in capsys.readouterr().err


def test_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"config": {"Env": ["A=1", "B=2"], "User": "", "Cmd": ["a"], "ExposedPorts": {"80/tcp": {}}}, "created": "1"}
    other = {"config": {"Env": ["A=1", "B=3"], "User": "7", "Labels": {"x": "y"}, "Cmd": ["a", "b"]}, "created": "2"}
    put_image(tmp_path / "images", [BASE], name="a", config=one)
    put_image(tmp_path / "images", [BASE], name="b", config=other)
    assert run(["image", "diff", f"oci:{tmp_path}/images:a", f"oci:{tmp_path}/images:b", "-o", "json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["paths"] == []
    assert {row["name"]: (row["change"], row["before"], row["after"]) for row in said["config"]} == {
        "Cmd": ("changed", ["a"], ["a", "b"]),
        "Env.B": ("changed", "2", "3"),
        "ExposedPorts.80/tcp": ("removed", True, None),
        "Labels.x": ("added", None, "y"),
        "User": ("added", None, "7"),
    }
    assert run(["image", "diff", f"oci:{tmp_path}/images:a", f"oci:{tmp_path}/images:b"]) == 1
    assert "Cmd" in capsys.readouterr().out

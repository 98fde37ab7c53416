"""The proof must fail: every kind of wrong result is shown to it, and has to be named."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from builders.errors import SquashError
from builders.squash import run
from builders.squash.proof import prove

from .layers import Item, file, folder, hardlink, opaque, squash_layers, symlink, tar_of, whiteout

BASE = [folder("d"), file("d/old", b"old"), file("keep", b"k")]
ABOVE = [
    [whiteout("d")],
    [folder("d", mode=0o750), file("d/new", b"new", pax={"SCHILY.xattr.user.x": "1"})],
    [file("h1", b"h"), hardlink("h2", "h1"), symlink("s", "d/new"), file("t", b"t", mtime="1.5")],
    [Item(kind="character", path="null", device=(1, 3)), file("big", b"z" * 70_000)],
]
RIGHT = [
    Item(kind="file", path="big", content=b"z" * 70_000),
    folder("d", mode=0o750),
    opaque("d"),
    file("d/new", b"new", pax={"SCHILY.xattr.user.x": "1"}),
    file("h1", b"h"),
    hardlink("h2", "h1"),
    Item(kind="character", path="null", device=(1, 3)),
    symlink("s", "d/new"),
    file("t", b"t", mtime="1.5"),
]


def check_result(tmp_path: Path, result: list[Item] | None, *, diff_id: str | None = None, damage: bool = False) -> int:
    paths = []
    for number, items in enumerate([BASE, *ABOVE]):
        paths.append(tmp_path / f"{number}.tar")
        paths[-1].write_bytes(tar_of(items))
    blob = None
    if result is not None:
        raw = tar_of(result)
        blob = tmp_path / "blob"
        packed = gzip.compress(raw)
        blob.write_bytes(packed[: len(packed) // 2] if damage else packed)
        diff_id = diff_id or f"sha256:{hashlib.sha256(raw).hexdigest()}"
    return prove(base=paths[:1], merged=paths[1:], result=blob, diff_id=diff_id, subject="image", check=lambda: None)


def without(path: str) -> list[Item]:
    return [item for item in RIGHT if item.path != path]


def changed(path: str, **changes: object) -> list[Item]:
    return [item.but(**changes) if item.path == path else item for item in RIGHT]


def test_the_right_result_passes(tmp_path: Path) -> None:
    assert check_result(tmp_path, RIGHT) == 9


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (without("d/.wh..wh..opq"), "/d/old appears"),
        (without("d/new"), "/d/new is missing"),
        ([*RIGHT, file("extra")], "/extra appears"),
        ([*RIGHT, whiteout("keep")], "/keep is missing"),
        (changed("d", mode=0o755), "/d has other attributes (mode)"),
        ([file("t", b"SECRET"), *RIGHT], "holds a /t that no container sees"),
        (changed("d/new", mode=0o4644), "/d/new has other attributes"),
        (changed("d/new", content=b"NEW"), "/d/new has other content"),
        (changed("d/new", content=b"newer"), "/d/new has other content"),
        (changed("d/new", pax={}), "/d/new has other attributes"),
        (changed("d/new", pax={"SCHILY.xattr.user.x": "2"}), "/d/new has other attributes"),
        (changed("d/new", uid=1), "/d/new has other attributes"),
        (changed("d/new", gid=1), "/d/new has other attributes"),
        (changed("t", mtime="1.25"), "/t has other attributes"),
        (changed("t", mtime="1"), "/t has other attributes"),
        (changed("s", target="d/old"), "/s has other attributes"),
        (changed("null", device=(1, 5)), "/null has other attributes"),
        (changed("null", kind="block"), "/null has other attributes"),
        (changed("h2", kind="file", content=b"h"), "/h2 has other hard links"),
        ([*without("t"), hardlink("t", "h1")], "/t has other hard links"),
        (changed("big", content=b"z" * 69_999 + b"y"), "/big has other content"),
        ([], "/d/old appears"),
        (None, "/d/old appears"),
    ],
)
def test_every_wrong_result_is_named(tmp_path: Path, result: list[Item] | None, named: str) -> None:
    with pytest.raises(SquashError) as caught:
        check_result(tmp_path, result)
    assert caught.value.code == "proof-failed"
    assert named in caught.value.message
    assert caught.value.kept


def test_the_first_ten_paths_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    with pytest.raises(SquashError) as caught:
        check_result(tmp_path, [*RIGHT, *(file(f"x{number:02}") for number in range(15))])
    assert "/x09 appears and 5 more" in caught.value.message
    assert "/x10" not in caught.value.message


def test_the_blob_is_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(SquashError, match="is sha256:"):
        check_result(tmp_path, RIGHT, diff_id="sha256:" + "0" * 64)
    with pytest.raises(SquashError, match="cannot be read"):
        check_result(tmp_path, RIGHT, damage=True)


def test_nothing_is_published_when_the_proof_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = run.entries

    def forgetful(*args: object) -> list[object]:
        return [member for member in real(*args) if member.path != b"d/new"]  # type: ignore[arg-type]

    monkeypatch.setattr(run, "entries", forgetful)
    with pytest.raises(SquashError) as caught:
        squash_layers(tmp_path, [tar_of(BASE), *(tar_of(items) for items in ABOVE)], start=1)
    assert caught.value.code == "proof-failed"
    assert not (tmp_path / "layout-1").exists()

"""The proof must fail: every kind of wrong result is shown to it, and has to be named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.errors import SquashError
from builders.squash import run
from builders.squash.proof import Proof
from builders.squash.source import Layer

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


def layer(path: Path, items: list[Item]) -> Layer:
    raw = tar_of(items)
    path.write_bytes(raw)
    return Layer(path=path, diff_id=f"sha256:{hashlib.sha256(raw).hexdigest()}", size=len(raw))


def check_result(
    tmp_path: Path,
    result: list[Item] | None,
    *,
    layers: list[list[Item]] = [BASE, *ABOVE],  # noqa: B006 - never changed
    edit: Callable[[bytes], bytes] = lambda raw: raw,
    step: int = 1 << 20,
    size: int | None = None,
) -> int:
    """Shows the proof a result, its bytes in steps, `edit`ed on their way."""
    sources = [layer(tmp_path / f"{number}.tar", items) for number, items in enumerate(layers)]
    proof = Proof(base=sources[:1], merged=sources[1:], subject="image", check=lambda: None)
    raw = edit(tar_of(result)) if result is not None else b""
    for at in range(0, len(raw), step):
        proof.feed(raw[at : at + step])
    return proof.conclude(len(raw) if size is None else size)


def without(path: str) -> list[Item]:
    return [item for item in RIGHT if item.path != path]


def changed(path: str, **changes: object) -> list[Item]:
    return [item.but(**changes) if item.path == path else item for item in RIGHT]


@pytest.mark.parametrize("step", [1, 511, 512, 513, 1 << 20])
def test_the_right_result_passes(tmp_path: Path, step: int) -> None:
    """However its bytes come."""
    assert check_result(tmp_path, RIGHT, step=step) == 9


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


SAME_SIZE = [
    [folder("d")],
    [file("d/a", b"a" * 200_000), file("d/b", b"b" * 200_000), file("c", b"1"), file("e", b"2")],
]


@pytest.mark.parametrize("pair", [("d/a", "d/b"), ("c", "e")])
def test_contents_that_changed_places(tmp_path: Path, pair: tuple[str, str]) -> None:
    right = sorted(SAME_SIZE[1], key=lambda item: item.path)
    contents = {item.path: item.content for item in right}
    swapped = dict(zip(pair, reversed(pair), strict=True))
    wrong = [item.but(content=contents[swapped.get(item.path, item.path)]) for item in right]
    assert check_result(tmp_path, [right[0], folder("d"), *right[1:]], layers=SAME_SIZE) == 5
    with pytest.raises(SquashError) as caught:
        check_result(tmp_path, wrong, layers=SAME_SIZE)
    for path in pair:
        assert f"/{path} has other content" in caught.value.message


@pytest.mark.parametrize("at", [0, 1, 65_535, 65_536, 69_999])
@pytest.mark.parametrize("step", [700, 1 << 20])
def test_one_byte_that_changed(tmp_path: Path, at: int, step: int) -> None:
    def edit(raw: bytes) -> bytes:
        place = raw.index(b"z" * 1000) + at
        return raw[:place] + b"y" + raw[place + 1 :]

    with pytest.raises(SquashError, match="/big has other content"):
        check_result(tmp_path, RIGHT, edit=edit, step=step)


def test_a_source_that_changes_under_the_squash(tmp_path: Path) -> None:
    """The squash read one content, and the proof, later, another."""
    sources = [layer(tmp_path / f"{number}.tar", items) for number, items in enumerate([BASE, *ABOVE])]
    proof = Proof(base=sources[:1], merged=sources[1:], subject="image", check=lambda: None)
    there = sources[-1].path
    assert there is not None
    there.write_bytes(there.read_bytes().replace(b"z" * 1000, b"y" * 1000))
    raw = tar_of(RIGHT)
    proof.feed(raw)
    with pytest.raises(SquashError, match="/big has other content"):
        proof.conclude(len(raw))


def test_the_merged_layer_is_seen_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(SquashError, match="bytes, and"):
        check_result(tmp_path, RIGHT, size=1 << 30)
    with pytest.raises(SquashError, match="cannot be read: it is cut short"):
        check_result(tmp_path, RIGHT, edit=lambda raw: raw[: raw.index(b"z" * 1000) + 5000])
    with pytest.raises(SquashError, match="cannot be read: a header has a wrong checksum"):
        check_result(tmp_path, RIGHT, edit=lambda raw: raw.replace(b"d/new", b"d/old"))


def test_nothing_is_published_when_the_proof_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = run.entries

    def forgetful(*args: object) -> list[object]:
        return [member for member in real(*args) if member.path != b"d/new"]  # type: ignore[arg-type]

    monkeypatch.setattr(run, "entries", forgetful)
    with pytest.raises(SquashError) as caught:
        squash_layers(tmp_path, [tar_of(BASE), *(tar_of(items) for items in ABOVE)], start=1)
    assert caught.value.code == "proof-failed"
    assert not (tmp_path / "layout-1").exists()

"""Layers that must not be squashed: each is refused by name, never read as something shorter."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from builders.errors import SquashError
from builders.squash.tarread import read_layer

from .layers import Item, file, folder, hardlink, squash_layers, symlink, tar_of

GOOD = tar_of([folder("d"), file("d/a", b"x" * 700), file("d/b", b"y")])


def pax_header(records: bytes) -> bytes:
    """An extended header with `records` as they stand, and a file after it."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    padded = records + bytes(-len(records) % 512)
    return header.tobuf(tarfile.USTAR_FORMAT) + padded + tar_of([file("f")])


def with_type(flag: bytes) -> bytes:
    info = tarfile.TarInfo("odd")
    info.type = flag
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    ("items", "code", "part_of_message"),
    [
        ([file(".wh.")], "invalid-whiteout", "whiteout of nothing"),
        ([file(".wh..")], "invalid-whiteout", "whiteout of nothing"),
        ([file(".wh...")], "invalid-whiteout", "whiteout of nothing"),
        ([file("d/.wh...")], "invalid-whiteout", "whiteout of nothing"),
        ([file(".wh./x")], "invalid-whiteout", "whiteout's name"),
        ([file(".wh.d/x")], "invalid-whiteout", "whiteout's name"),
        ([file("../x")], "unsafe-path", "/../x"),
        ([file("a/../../x")], "unsafe-path", "leads out"),
        ([hardlink("a", "../../etc/passwd")], "unsafe-path", "leads out"),
        ([hardlink("a", "nowhere")], "dangling-hardlink", "/nowhere"),
        ([folder("d"), hardlink("a", "d")], "dangling-hardlink", "is a folder"),
        ([hardlink("a", "a")], "dangling-hardlink", "/a"),
        ([folder("t"), symlink("l", "t"), file("l/x")], "symlinked-parent", "symlink"),
        ([file("f"), file("f/x")], "layer-damaged", "parent is a file"),
        ([file("/".join(["d"] * 500))], "path-too-deep", "400 folders"),
    ],
)
def test_entries_that_mean_nothing_good(tmp_path: Path, items: list[Item], code: str, part_of_message: str) -> None:
    with pytest.raises(SquashError) as caught:
        squash_layers(tmp_path, [tar_of([file("z")]), tar_of(items)], start=1)
    assert caught.value.code == code
    assert part_of_message in str(caught.value)
    assert not (tmp_path / "layout-1").exists()


@pytest.mark.parametrize(
    ("raw", "part_of_message"),
    [
        (GOOD[:700], "cut short"),
        (GOOD[:1100], "cut short"),
        (GOOD[:1500], "cut short"),
        (GOOD[:300], "cut short"),
        (b"\x01" + GOOD[1:], "wrong checksum"),
        (b"not a tar at all".ljust(512, b"!"), "checksum"),
        (GOOD + b"garbage".ljust(512, b"\0"), "follows the end"),
        (bytes(512) + GOOD, "follows the end"),
        (pax_header(b"12 path=abc\n"), "follows"),
        (pax_header(b"99 path=abc\n"), "malformed"),
        (pax_header(b"path=abc\n"), "no length"),
        (pax_header(b"9 path\n"), "malformed"),
        (pax_header(b"0 a=b\n"), "malformed"),
        (pax_header(b"12 size=abc\n"), "not a number"),
        (pax_header(b"12 size=-10\n"), "negative"),
        (pax_header(b"14 mtime=noon\n"), "not a number"),
        (pax_header(b"5011 size=" + b"1" * 5000 + b"\n"), "not a number"),
        (pax_header(b"5010 uid=" + b"1" * 5000 + b"\n"), "not a number"),
        (pax_header(b"5012 mtime=" + b"1" * 5000 + b"\n"), "not a number"),
    ],
)
def test_damage_is_an_error_and_not_a_shorter_layer(tmp_path: Path, raw: bytes, part_of_message: str) -> None:
    if raw.startswith(pax_header(b"")[:100]) and part_of_message == "follows":
        assert [member.path for member in read(tmp_path, raw)] == [b"abc"]
        return
    with pytest.raises(SquashError) as caught:
        read(tmp_path, raw)
    assert caught.value.code == "layer-damaged"
    assert part_of_message in caught.value.message


@pytest.mark.parametrize("flag", [b"D", b"M", b"V", b"Z"])
def test_types_that_no_layer_may_hold(tmp_path: Path, flag: bytes) -> None:
    with pytest.raises(SquashError) as caught:
        read(tmp_path, with_type(flag))
    assert caught.value.code == "unsupported-entry"


def test_every_cut_is_noticed_or_falls_between_entries(tmp_path: Path) -> None:
    whole = read(tmp_path, GOOD)
    content = len(GOOD.rstrip(b"\0"))
    noticed = 0
    for position in range(0, content, 61):
        try:
            found = read(tmp_path, GOOD[:position])
        except SquashError:
            noticed += 1
        else:
            assert position % 512 == 0
            assert found == whole[: len(found)]
    assert noticed > 40


def read(folder_: Path, raw: bytes) -> list[object]:
    path = folder_ / "layer.tar"
    path.write_bytes(raw)
    return list(read_layer(path, subject="test"))


def test_an_extended_header_at_the_end_belongs_to_nothing(tmp_path: Path) -> None:
    raw = pax_header(b"12 path=abc\n")[:1024]
    with pytest.raises(SquashError, match="belongs to nothing"):
        read(tmp_path, raw + bytes(1024))


def test_an_empty_file_is_an_empty_layer(tmp_path: Path) -> None:
    assert read(tmp_path, b"") == []
    assert read(tmp_path, bytes(1024)) == []
    buffer = io.BytesIO()
    tarfile.open(fileobj=buffer, mode="w").close()
    assert read(tmp_path, buffer.getvalue()) == []


def test_what_is_kept_of_a_layer_does_not_grow_with_its_bytes(tmp_path: Path) -> None:
    """Attributes of a few megabytes each, which no file system holds."""
    items = [file(f"f{number}", pax={"comment": "c" * (3 << 20)}) for number in range(24)]
    with pytest.raises(SquashError) as caught:
        read(tmp_path, tar_of(items))
    assert caught.value.code == "layer-damaged"
    assert "extended headers" in caught.value.message
    assert len(read(tmp_path, tar_of(items[:20]))) == 20

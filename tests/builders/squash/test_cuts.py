"""Where a tar is cut: read out of its own headers, whatever the pieces it comes in."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.squash.codec import BLOCK
from builders.squash.contents import Contents
from builders.squash.cuts import LARGE, Stored, cut
from builders.squash.pieces import Content, Piece


def tar(entries: Iterable[tuple[str, int]], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of files of these sizes; a name that ends in a slash is a folder's."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as archive:
        for name, size in entries:
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            entry.size = size
            archive.addfile(entry, io.BytesIO((name.encode() * (size // len(name.encode()) + 1))[:size]))
    return raw.getvalue()


def members(pieces: Iterable[Piece]) -> list[tuple[str, bytes]]:
    """What a tar is cut into: ``gap`` and ``content``, with their bytes."""
    found = []
    with Contents() as contents:
        for member in cut(pieces, contents):
            if isinstance(member, Stored):
                parts = [member.whole] if member.whole is not None else member.parts
                joined = b"".join(part if isinstance(part, bytes) else contents.read(part) for part in parts)
                found.append(("content", joined))
            else:
                found.append(("gap", member))
    return found


def sizes(pieces: Iterable[Piece]) -> list[tuple[str, int]]:
    return [(kind, len(data)) for kind, data in members(pieces)]


def test_large_contents_are_members_and_so_is_what_lies_between() -> None:
    raw = tar([("a", 10), ("b", LARGE), ("c", LARGE - 1), ("d", 3 * BLOCK + 1)])
    found = members([raw])
    assert [(kind, len(data)) for kind, data in found[:4]] == [
        ("gap", 512 + 512 + 512),
        ("content", LARGE),
        ("gap", 512 + LARGE + 512),
        ("content", 3 * BLOCK + 1),
    ]
    assert found[4][0] == "gap"
    assert b"".join(data for _, data in found) == raw


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_that_need_a_header_of_their_own(form: int) -> None:
    name = "long/" * 60
    raw = tar([(name + "x", LARGE), (name + "y", 1), (name + "z", LARGE)], form)
    found = members([raw])
    assert [kind for kind, _ in found] == ["gap", "content", "gap", "content", "gap"]
    assert all(len(data) == LARGE for kind, data in found if kind == "content")


def test_a_size_that_only_a_pax_record_tells() -> None:
    entry = tarfile.TarInfo("a")
    entry.size = 0
    entry.pax_headers = {"size": str(LARGE)}
    raw = entry.tobuf(tarfile.PAX_FORMAT) + bytes(LARGE) + bytes(1024)
    assert ("content", LARGE) in sizes([raw])


def test_small_files_are_cut_before_a_folder_and_by_size() -> None:
    entries = [
        (f"{folder:02}/{name}" if name else f"{folder:02}/", 5000 if name else 0)
        for folder in range(30)
        for name in ("", *"abcdefghijklmnopq")
    ]
    raw = tar(entries)
    found = members([raw])
    assert {kind for kind, _ in found} == {"gap"}
    assert all(data[156:157] == tarfile.DIRTYPE for _, data in found[1:])
    assert all(256 << 10 <= len(data) < 512 << 10 for _, data in found[:-1])
    flat = tar([(f"file{number}", 5000) for number in range(500)])
    assert [size for _, size in sizes([flat])[:-1]] == [BLOCK, BLOCK]


def test_behind_a_change_it_is_soon_cut_as_before() -> None:
    def entries(first: int) -> Iterator[tuple[str, int]]:
        yield "00/first", first
        for folder in range(1, 200):
            yield f"{folder:03}/", 0
            for name in range(30):
                yield f"{folder:03}/{name}", 700 + 97 * ((folder * 31 + name) % 50)

    before, after = (dict.fromkeys(data for _, data in members([tar(entries(size))])) for size in (10, 3000))
    assert len(before) > 20
    assert len(before.keys() & after.keys()) >= len(before) - 3


@settings(max_examples=60, deadline=None)
@given(
    entries=st.lists(
        st.tuples(st.sampled_from(["a", "b/", "c" * 200, "d/" * 70]), st.integers(0, 3 * LARGE)), max_size=12
    ),
    points=st.lists(st.integers(0, 1 << 22), max_size=12),
    stored=st.lists(st.booleans(), min_size=13, max_size=13),
)
def test_pieces_make_no_difference(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, int]], points: list[int], stored: list[bool]
) -> None:
    """The same cuts for the whole tar, for any pieces of it, by reference or not."""
    raw = tar((name, 0 if name.endswith("/") else size) for name, size in entries)
    file = tmp_path_factory.mktemp("cuts") / "layer.tar"
    file.write_bytes(raw)
    bounds = sorted({0, len(raw), *(point % (len(raw) + 1) for point in points)})
    pieces: list[Piece] = [
        Content(path=file, offset=start, size=end - start) if kept else raw[start:end]
        for start, end, kept in zip(bounds, bounds[1:], stored, strict=False)
    ]
    found = members([raw])
    assert b"".join(data for _, data in found) == raw
    assert members(pieces) == found
    assert members([Content(path=file, offset=0, size=len(raw))]) == found


@settings(max_examples=60, deadline=None)
@given(
    noise=st.lists(
        st.one_of(
            st.binary(max_size=700),
            st.sampled_from([tar([("x", 5)]), tar([("y", LARGE)]), tar([("p" * 200, 3)]), bytes(512), b"\xff" * 512]),
        ),
        max_size=20,
    ),
    step=st.integers(1, 5000),
)
def test_bytes_that_are_no_tar_are_kept_too(noise: list[bytes], step: int) -> None:
    raw = b"".join(noise)
    found = members([raw])
    assert b"".join(data for _, data in found) == raw
    assert all(data and len(data) <= max(BLOCK, 2 * LARGE) for _, data in found)
    assert members(raw[at : at + step] for at in range(0, len(raw), step)) == found


def test_a_size_that_lies_takes_what_is_there(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("a")
    entry.size = 1 << 40
    raw = entry.tobuf(tarfile.GNU_FORMAT) + b"x" * 200_000
    file = tmp_path / "layer.tar"
    file.write_bytes(raw)
    assert sizes([raw]) == sizes([Content(path=file, offset=0, size=len(raw))]) == [("gap", 512), ("content", 200_000)]

"""The squash's reader and the proof's, which share nothing, on tars that somebody damaged: both see the same, or one of
them refuses; and neither fails in any other way."""

from __future__ import annotations

import tarfile
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.errors import SquashError
from builders.squash.member import Kind, Member
from builders.squash.tarread import read_layer
from builders.squash.witness import Unreadable, Witness

from .layers import Item, file, folder, hardlink, symlink, tar_of
from .test_tarread import SPARSE, gnu_tar
from .test_witness import ITEMS, STEPS

KINDS = {
    Kind.FILE: "file",
    Kind.DIRECTORY: "folder",
    Kind.SYMLINK: "2",
    Kind.CHARACTER: "3",
    Kind.BLOCK: "4",
    Kind.FIFO: "6",
}
Facts = list[tuple[object, ...]]


def by_the_squash(path: Path) -> Facts | None:
    try:
        return [_member(member) for member in read_layer(path, subject="x")]
    except SquashError:
        return None


def _member(member: Member) -> tuple[object, ...]:
    if member.kind is Kind.HARDLINK:
        return member.path, "1", member.link
    attributes = tuple(pair for pair in member.records if pair[0].startswith(b"SCHILY.xattr."))
    pieces = None if member.sparse is None else tuple(pair for pair in member.sparse if pair[1])
    return (
        member.path,
        KINDS[member.kind],
        member.mode,
        member.uid,
        member.gid,
        Decimal(member.mtime),
        member.link,
        member.device,
        attributes,
        member.size,
        member.offset if member.source is not None else None,
        pieces,
    )


def by_the_proof(path: Path, raw: bytes, steps: list[int]) -> Facts | None:
    witness = Witness(file=(path, 0))
    found: Facts = []
    try:
        at = number = 0
        while at < len(raw):
            step = steps[number % len(steps)]
            witness.feed(raw[at : at + step])
            at, number = at + step, number + 1
        for name, thing, link in witness.finish():
            if thing is None:
                found.append((name, "1", link))
            else:
                place = thing.offset if thing.size and thing.pieces != () else None
                found.append((name, *thing.facts(), place, thing.pieces))
    except Unreadable:
        return None
    return found


def agree(raw: bytes, steps: list[int]) -> bool:
    """Whether both read it; what they read is the same then."""
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "layer.tar"
        path.write_bytes(raw)
        squash, proof = by_the_squash(path), by_the_proof(path, raw, steps)
    if squash is None or proof is None:
        return False
    assert squash == proof
    return True


EDITS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=6)), max_size=3)


def edited(raw: bytes, edits: list[tuple[float, bytes]], *, sealed: bool) -> bytes:
    """Some bytes overwritten; where it is `sealed`, the sums of the headers that were there are right again."""
    changed = bytearray(raw)
    for place, new in edits:
        at = int(place * len(raw))
        changed[at : at + len(new)] = new
    changed = changed[: len(raw)]
    if sealed:
        for at in range(0, len(raw) - 511, 512):
            if raw[at + 257 : at + 262] == b"ustar":
                changed[at + 148 : at + 156] = b" " * 8
                changed[at + 148 : at + 156] = b"%06o\0 " % sum(changed[at : at + 512])
    return bytes(changed)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(items=st.lists(ITEMS, min_size=1, max_size=5), steps=STEPS, edits=EDITS, sealed=st.booleans(), gnu=st.booleans())
def test_they_agree_or_one_refuses(
    items: list[Item], steps: list[int], edits: list[tuple[float, bytes]], sealed: bool, gnu: bool
) -> None:
    if gnu:
        items = [item.but(pax={}, mtime=item.mtime.partition(".")[0]) for item in items]
    raw = tar_of(items, tarfile.GNU_FORMAT if gnu else tarfile.PAX_FORMAT)
    # What nobody has damaged, both read.
    assert agree(raw, steps)
    agree(edited(raw, edits, sealed=sealed), steps)


SOUND = tar_of(
    [
        folder("d"),
        file("d/f", b"x" * 700, mtime="1.5", pax={"SCHILY.xattr.user.x": "1"}),
        hardlink("h", "d/f"),
        symlink("s", "d/f"),
        Item(kind="character", path="null", device=(1, 3)),
        file("n" * 150, b"y"),
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=EDITS, sealed=st.booleans())
def test_they_agree_on_one_with_something_of_everything(edits: list[tuple[float, bytes]], sealed: bool) -> None:
    assert agree(SOUND, [512])
    agree(edited(SOUND, edits, sealed=sealed), [512])


@pytest.mark.parametrize("options", SPARSE, ids=" ".join)
def test_they_agree_on_sparse_files(tmp_path: Path, options: list[str]) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as holes:
        holes.truncate(900_000)
        for number in range(30):
            holes.seek(number * 24_576)
            holes.write(b"piece%d" % number)
    (tree / "then").write_bytes(b"after")
    raw = gnu_tar(tree, "--sparse", *options)
    assert agree(raw, [512])
    for at in range(0, min(len(raw), 6000), 7):
        agree(edited(raw, [(at / len(raw), b"1")], sealed=True), [1 << 20])

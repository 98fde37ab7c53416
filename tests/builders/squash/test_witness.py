"""The proof's reader against the standard library's, which it shares nothing with."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.squash.contents import Contents
from builders.squash.tarread import read_layer
from builders.squash.witness import Entry, Unreadable, Witness

from .layers import Item, tar_of
from .test_tarread import GNU_FORMATS, SPARSE, gnu_tar

Facts = dict[str, tuple[object, ...]]


def feed(witness: Witness, raw: bytes, steps: list[int]) -> list[Entry]:
    at = number = 0
    while at < len(raw):
        step = steps[number % len(steps)]
        witness.feed(raw[at : at + step])
        at, number = at + step, number + 1
        if witness.passable and number % 2:
            at += witness.passable
            witness.pass_by()
    return witness.finish()


def seen(path: Path, raw: bytes, steps: list[int]) -> Facts:
    """What the witness says of the tar, contents read where it says they lie."""
    path.write_bytes(raw)
    found: Facts = {}
    with Contents() as contents:
        for name, thing, link in feed(Witness(file=(path, 0)), raw, steps):
            key = name.decode("utf-8", "surrogateescape")
            if thing is None:
                found[key] = ("1", link.decode("utf-8", "surrogateescape"))
            else:
                kind, mode, uid, gid, time, target, device, xattrs, size = thing.facts()
                assert isinstance(target, bytes)
                content = thing.content(contents, 0, thing.size)
                assert content == b"".join(
                    thing.content(contents, at, min(700, thing.size - at)) for at in range(0, thing.size, 700)
                )
                text = target.decode("utf-8", "surrogateescape")
                found[key] = (kind, mode, uid, gid, time, text, device, xattrs, size, content)
    return found


def oracle(raw: bytes) -> Facts:
    found: Facts = {}
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        for entry in tar:
            key = "/".join(part for part in entry.name.split("/") if part not in ("", "."))
            if entry.islnk():
                link = "/".join(part for part in entry.linkname.split("/") if part not in ("", "."))
                found[key] = ("1", link)
                continue
            content = tar.extractfile(entry) if entry.isreg() else None
            time = entry.pax_headers.get("mtime")
            attributes = (
                (key.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
                for key, value in sorted(entry.pax_headers.items())
                if key.startswith("SCHILY.xattr.")
            )
            found[key] = (
                "folder" if entry.isdir() else "file" if entry.isreg() else entry.type.decode(),
                entry.mode & 0o7777,
                entry.uid,
                entry.gid,
                Decimal(time) if time is not None else Decimal(int(entry.mtime)),
                entry.linkname if entry.issym() else "",
                (entry.devmajor, entry.devminor) if entry.isdev() and not entry.isfifo() else (0, 0),
                tuple(attributes),
                entry.size if entry.isreg() else 0,
                content.read() if content else b"",
            )
    return found


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=120).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
ITEMS = st.builds(
    Item,
    kind=st.sampled_from(["file", "file", "folder", "symlink", "hardlink", "character", "block", "fifo"]),
    path=PATHS | PATHS.map(lambda path: f"./{path}"),
    content=st.binary(max_size=40) | st.integers(0, 3000).map(lambda size: b"c" * size),
    target=PATHS,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**31),
    gid=st.sampled_from([0, 1000, 2**21, 2**31]),
    mtime=st.integers(0, 2**34).map(str) | st.integers(0, 99).map(lambda number: f"12.{number}5"),
    device=st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)),
    pax=st.dictionaries(NAMES.map(lambda name: f"SCHILY.xattr.user.{name.replace('=', '_')}"), NAMES, max_size=2),
)
STEPS = st.lists(st.sampled_from([1, 100, 511, 512, 513, 1024, 4096, 1 << 20]), min_size=1, max_size=3)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(items=st.lists(ITEMS, max_size=6), steps=STEPS, gnu=st.booleans())
def test_it_sees_what_the_standard_library_sees(items: list[Item], steps: list[int], gnu: bool) -> None:
    if gnu:  # which has no place for attributes and parts of seconds
        items = [item.but(pax={}, mtime=item.mtime.partition(".")[0]) for item in items]
    raw = tar_of(items, tarfile.GNU_FORMAT if gnu else tarfile.PAX_FORMAT)
    with tempfile.TemporaryDirectory() as work:
        assert seen(Path(work) / "layer.tar", raw, steps) == oracle(raw)


@pytest.mark.parametrize("options", [*([form] for form in GNU_FORMATS), *SPARSE], ids=" ".join)
@pytest.mark.parametrize("step", [512, 700, 1 << 20])
def test_it_sees_what_gnu_tar_wrote(tmp_path: Path, options: list[str], step: int) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_bytes(b"content" * 300)
    (tree / "d" / "g").hardlink_to(tree / "d" / "f")
    (tree / "l").symlink_to("/d/f")
    sparse = options in SPARSE
    if sparse:
        with (tree / "sparse").open("wb") as holes:
            holes.truncate(2_000_000)
            for number in range(40):
                holes.seek(number * 49_152 + 5)
                holes.write(b"piece%d" % number)
        with (tree / "nothing").open("wb") as holes:
            holes.truncate(1_000_000)
    raw = gnu_tar(tree, *options, *(["--sparse"] if sparse else []))
    found = seen(tmp_path / "layer.tar", raw, [step])
    assert found == oracle(raw)
    assert found["d/f"][-1] == b"content" * 300
    if sparse:
        assert found["sparse"][-1] == (tree / "sparse").read_bytes()
        assert found["nothing"][-1] == bytes(1_000_000)


RAW = tar_of([Item(kind="folder", path="d"), Item(kind="file", path="d/f", content=b"x" * 2000, mtime="1.5")])


@pytest.mark.parametrize(
    "edit",
    [
        lambda raw: raw[:100],
        lambda raw: raw[:2560],
        lambda raw: raw.replace(b"d/f", b"d/g"),
        lambda raw: raw.replace(b"13 mtime=1.5", b"99 mtime=1.5"),
        lambda raw: raw.replace(b"13 mtime=1.5", b"xx mtime=1.5"),
    ],
    ids=range(5),
)
def test_what_is_no_sound_tar_is_not_read_as_less(edit: Callable[[bytes], bytes]) -> None:
    damaged = edit(RAW)
    assert damaged != RAW
    with pytest.raises(Unreadable):
        feed(Witness(), damaged, [600])


def test_references_must_fall_on_contents() -> None:
    witness = Witness()
    with pytest.raises(Unreadable):
        witness.refer(b"/there", 0, 5)
    at = RAW.index(b"x" * 2000)
    for size, sound in ((2000, True), (1999, False), (2001, False)):
        witness = Witness()
        witness.feed(RAW[:at])
        if not sound:
            with pytest.raises(Unreadable):
                witness.refer(b"/there", 7, size)
            continue
        witness.refer(b"/there", 7, size)
        witness.feed(RAW[at + 2000 :])
        _, thing, _ = witness.finish()[1]
        assert thing is not None
        assert (thing.path, thing.offset, thing.size) == (b"/there", 7, 2000)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(RAW) - 1), value=st.integers(0, 255), step=st.sampled_from([1, 512, 10_000]))
def test_a_changed_byte_is_another_content_or_refused(at: int, value: int, step: int) -> None:
    """Headers are summed. (The standard library takes a wrong sum behind the first entry for the end.)"""
    damaged = RAW[:at] + bytes([value]) + RAW[at + 1 :]
    content, records = RAW.index(b"x" * 2000), RAW.index(b"13 mtime=1.5")
    with tempfile.TemporaryDirectory() as work:
        try:
            found = seen(Path(work) / "layer.tar", damaged, [step])
        except ValueError:
            assert damaged != RAW
            return
    if content <= at < content + 2000:
        assert found["d/f"][-1] == damaged[content : content + 2000]
    elif not records <= at < records + 13:
        assert found == oracle(RAW)


def test_gnu_tar_agrees_on_the_names(tmp_path: Path) -> None:
    (tmp_path / "layer.tar").write_bytes(RAW)
    listed = subprocess.run(["tar", "tf", str(tmp_path / "layer.tar")], capture_output=True, check=True, text=True)
    found = [path.decode() for path, _, _ in feed(Witness(), RAW, [512])]
    assert [name.rstrip("/") for name in listed.stdout.split()] == found


@pytest.mark.parametrize(
    "field",
    [b"\x80" + bytes(6) + b"\x05", b"\x81" + bytes(7), b"\xbf" + b"\xff" * 7, b"\xc0" + bytes(7), b"\xff" * 8],
    ids=bytes.hex,
)
def test_numbers_in_base_256_are_what_the_squash_reads(tmp_path: Path, field: bytes) -> None:
    raw = bytearray(tar_of([Item(kind="file", path="a")]))
    raw[108:116], raw[148:156] = field, b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    ((_, thing, _),) = feed(Witness(file=(tmp_path / "layer.tar", 0)), bytes(raw), [1 << 20])
    (tmp_path / "layer.tar").write_bytes(raw)
    (member,) = read_layer(tmp_path / "layer.tar", subject="x")
    assert thing is not None
    assert (
        thing.facts()[2]
        == member.uid
        == int.from_bytes(field, "big", signed=False) % 2**63 - (2**63 if field[0] & 0x40 else 0)
    )


def test_a_long_name_of_no_bytes_says_nothing(tmp_path: Path) -> None:
    """As Go's reader has it, and so engines: the header's own name counts."""
    raw = bytearray(tar_of([Item(kind="file", path="long"), Item(kind="file", path="a")], tarfile.GNU_FORMAT))
    raw[156:157], raw[148:156] = b"L", b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    (tmp_path / "layer.tar").write_bytes(raw)
    assert [name for name, _, _ in feed(Witness(), bytes(raw), [1 << 20])] == [b"a"]
    assert [member.path for member in read_layer(tmp_path / "layer.tar", subject="x")] == [b"a"]


def test_a_mode_with_the_type_in_it_is_the_same_mode() -> None:
    """As engines write it, and nobody else does: a hundred thousand files would be parsed to be found alike."""
    info = tarfile.TarInfo("f")
    info.mode, info.mtime, info.uid = 0o4755, 1_700_000_000, 7
    plain = info.tobuf(tarfile.USTAR_FORMAT)
    typed = bytearray(plain)
    typed[100:108] = b"0104755\0"
    typed[148:156] = b"%06o\0 " % (sum(typed[:148]) + sum(typed[156:]) + 8 * 32)
    (_, one, _), (_, other, _) = (feed(Witness(), bytes(raw) + bytes(1024), [512])[0] for raw in (plain, typed))
    assert one is not None
    assert other is not None
    assert one.looks_like(other)
    assert one.facts() == other.facts()
    assert one.facts()[1] == 0o4755

"""The reader against archives that GNU tar and the standard library write."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.squash.member import Kind, Member
from builders.squash.tarread import read_layer
from builders.squash.tarwrite import END, header, padding

from .layers import file, folder, hardlink, items_of, squash_layers, symlink, tar_of

GNU_FORMATS = ["--format=gnu", "--format=pax", "--format=posix", "--format=ustar", "--format=oldgnu", "--format=v7"]
SPARSE = [
    ["--format=gnu"],
    ["--format=oldgnu"],
    ["--format=pax", "--sparse-version=0.0"],
    ["--format=pax", "--sparse-version=0.1"],
    ["--format=pax", "--sparse-version=1.0"],
]


def gnu_tar(folder_: Path, *options: str) -> bytes:
    command = ["tar", "--create", "--sort=name", "--numeric-owner", *options, "--directory", str(folder_), "."]
    return subprocess.run(command, check=True, capture_output=True).stdout


def members(raw: bytes, work: Path) -> list[Member]:
    path = work / "layer.tar"
    path.write_bytes(raw)
    return list(read_layer(path, subject="test"))


@pytest.mark.parametrize("form", GNU_FORMATS)
def test_reads_every_format_of_gnu_tar(tmp_path: Path, form: str) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_bytes(b"content")
    os.link(tree / "d" / "f", tree / "d" / "g")
    (tree / "l").symlink_to("/d/f")
    os.utime(tree / "d" / "f", ns=(0, 1_700_000_000_000_000_000))
    found = {member.path: member for member in members(gnu_tar(tree, form), tmp_path)}
    assert set(found) == {b"", b"d", b"d/f", b"d/g", b"l"}
    assert (found[b"d/f"].size, found[b"d/f"].mtime) == (7, "1700000000")
    assert (found[b"d/g"].kind, found[b"d/g"].link) == (Kind.HARDLINK, b"d/f")
    assert (found[b"l"].kind, found[b"l"].link) == (Kind.SYMLINK, b"/d/f")
    assert found[b"d"].kind is Kind.DIRECTORY


@pytest.mark.parametrize("form", ["--format=gnu", "--format=pax"])
def test_reads_long_names_and_large_numbers(tmp_path: Path, form: str) -> None:
    tree = tmp_path / "tree"
    deep = tree / ("x" * 120) / ("y" * 140)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"1")
    (tree / "l").symlink_to("t" * 150)
    raw = gnu_tar(tree, form, "--owner=:3000000000", "--group=:2999999")
    found = {member.path: member for member in members(raw, tmp_path)}
    assert found[b"x" * 120 + b"/" + b"y" * 140 + b"/f"].uid == 3_000_000_000
    assert found[b"l"].gid == 2_999_999
    assert found[b"l"].link == b"t" * 150


@pytest.mark.parametrize("options", SPARSE, ids=" ".join)
def test_a_sparse_file_is_written_out_in_full(tmp_path: Path, options: list[str]) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    content = bytearray(2_000_000)
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(len(content))
        for number in range(40):  # more pieces than fit in one header
            sparse.seek(number * 49_152)
            sparse.write(b"piece%d" % number)
            content[number * 49_152 : number * 49_152 + len(b"piece%d" % number)] = b"piece%d" % number
    (tree / "then").write_bytes(b"after")
    raw = gnu_tar(tree, "--sparse", *options)
    assert len(raw) < 1_000_000, "the archive is not sparse"
    result = squash_layers(tmp_path / "work", [tar_of([file("z")]), raw], start=1)
    written = {item.path: item for item in result.top}
    assert written["sparse"].content == bytes(content)
    assert written["then"].content == b"after"
    assert b"GNU.sparse" not in result.raws[1]


def test_global_headers_are_read_past(tmp_path: Path) -> None:
    path = tmp_path / "layer.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0123", "mtime": "5"}) as tar:
        info = tarfile.TarInfo("f")
        info.mtime = 9
        tar.addfile(info)
    (member,) = read_layer(path, subject="test")
    assert (member.path, member.mtime, member.records) == (b"f", "9", ())


def test_an_old_folder_is_a_file_with_a_slash(tmp_path: Path) -> None:
    info = tarfile.TarInfo("d/")
    info.type = tarfile.AREGTYPE
    (member,) = members(info.tobuf(tarfile.USTAR_FORMAT).replace(b"d\0", b"d/", 1)[:0] + _old_folder(), tmp_path)
    assert member.kind is Kind.DIRECTORY


def _old_folder() -> bytes:
    block = bytearray(tarfile.TarInfo("d").tobuf(tarfile.USTAR_FORMAT))
    block[0:2], block[156:157] = b"d/", b"\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


NAMES = (
    st.binary(min_size=1, max_size=300)
    .map(lambda raw: raw.replace(b"\0", b"_").replace(b"/", b"_"))
    .filter(lambda raw: raw not in (b".", b".."))
)


@given(
    path=NAMES,
    link=st.binary(min_size=1, max_size=300).map(lambda raw: raw.replace(b"\0", b"_")),
    uid=st.integers(0, 2**32 - 2),
    mode=st.integers(0, 0o7777),
    mtime=st.integers(-(2**33), 2**35).map(str)
    | st.tuples(st.integers(-5, 5), st.integers(1, 999)).map(lambda pair: f"{pair[0]}.{pair[1]}1"),
    uname=st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"_")),
    value=st.binary(max_size=200),
    device=st.tuples(st.integers(0, 2**32), st.integers(0, 2**32)),
    kind=st.sampled_from([Kind.SYMLINK, Kind.DIRECTORY, Kind.CHARACTER, Kind.FIFO, Kind.FILE]),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory,
    path: bytes,
    link: bytes,
    uid: int,
    mode: int,
    mtime: str,
    uname: bytes,
    value: bytes,
    device: tuple[int, int],
    kind: Kind,
) -> None:
    member = Member(
        path=path,
        kind=kind,
        mode=mode,
        uid=uid,
        gid=uid,
        mtime=mtime,
        uname=uname,
        gname=uname,
        link=link if kind is Kind.SYMLINK else b"",
        device=device if kind is Kind.CHARACTER else (0, 0),
        records=((b"SCHILY.xattr.user.v", value),),
    )
    work = tmp_path_factory.getbasetemp()
    (found,) = members(header(member) + END, work)
    assert found == Member(**{name: getattr(member, name) for name in _plain(member)} | _place(found))


def _plain(member: Member) -> list[str]:
    return [name for name in Member.__dataclass_fields__ if name not in ("source", "offset")]


def _place(found: Member) -> dict[str, object]:
    return {"source": found.source, "offset": found.offset}


def test_the_standard_library_reads_what_is_written(tmp_path: Path) -> None:
    items = [folder("d"), file("d/" + "n" * 200, b"x" * 5000), hardlink("h", "d/" + "n" * 200), symlink("s", "y" * 130)]
    result = squash_layers(tmp_path, [tar_of(items)], start=0)
    written = {item.path: item for item in items_of(result.raws[0])}
    assert written["d/" + "n" * 200].content == b"x" * 5000
    assert written["s"].target == "y" * 130


def test_gnu_tar_extracts_what_is_written(tmp_path: Path) -> None:
    items = [folder("d", mode=0o750), file("d/f", b"x" * 600, mtime="5.25"), hardlink("h", "d/f"), symlink("s", "d/f")]
    items += [file("e" * 180, b"long", uid=3_000_000)]
    result = squash_layers(tmp_path / "work", [tar_of(items)], start=0)
    target = tmp_path / "out"
    target.mkdir()
    done = subprocess.run(
        ["tar", "--extract", "--directory", str(target)], input=result.raws[0], capture_output=True, check=True
    )
    assert done.stderr == b""
    assert (target / "d" / "f").read_bytes() == b"x" * 600
    assert (target / "d" / "f").stat().st_mtime_ns == 5_250_000_000
    assert (target / "h").stat().st_ino == (target / "d" / "f").stat().st_ino
    assert (target / ("e" * 180)).stat().st_uid == (3_000_000 if os.geteuid() == 0 else os.geteuid())


def test_padding_fills_blocks() -> None:
    assert [len(padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]

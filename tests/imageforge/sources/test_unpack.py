from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import random
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import zstd
from imageforge.sources import Limits, SourceFailed, SourceRefused, Unpacked, unpack
from tests.imageforge.sources.conftest import Entry, entry, raw_tar

Archive = Callable[[bytes], Path]
LINK, HARD, FOLDER = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


def refused(file: Path, limits: Limits | None = None) -> str:
    """The code; there must be nothing left."""
    before = sorted(file.parent.rglob("*"))
    with pytest.raises(SourceRefused) as caught:
        unpack(file, file.parent / "out", limits or Limits())
    assert sorted(file.parent.rglob("*")) == before
    assert caught.value.hint
    return caught.value.code


def link(name: str, target: str, kind: bytes = LINK) -> Entry:
    return entry(name, type=kind, linkname=target)


def _zstd(data: bytes) -> bytes:
    return zstd.pack(data, 3)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress, _zstd])
def test_a_tar_in_any_wrapping(archive: Archive, tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    data = raw_tar(
        entry("./", type=FOLDER),
        entry("a/", type=FOLDER, mtime=1000),
        entry("./a/run", b"#!", mode=0o4751, mtime=2000, uid=12, gid=13),
        entry("a/text", b"text" * 1000, mode=0o600),
        link("a/link", "../b"),
        entry("b", b"", mode=0o666),
        link("hard", "a/text", HARD),
    )
    got = unpack(archive(compress(data)), tmp_path / "out")
    out = tmp_path / "out"
    assert got == Unpacked(files=5, bytes=2 + 4000 + 4000)
    modes = {path.name: oct(path.lstat().st_mode & 0o7777) for path in out.rglob("*") if not path.is_symlink()}
    assert modes == {"a": "0o755", "run": "0o755", "text": "0o644", "b": "0o644", "hard": "0o644"}
    assert ((out / "a/run").stat().st_mtime, (out / "a").stat().st_mtime) == (2000, 1000)
    assert (out / "a/run").stat().st_uid == os.getuid()
    assert (out / "a/link").readlink() == Path("../b")
    assert (out / "hard").read_bytes() == b"text" * 1000


@pytest.mark.parametrize("format", ["gnu", "pax", "ustar", "oldgnu", "v7"])
def test_what_gnu_tar_makes(tmp_path: Path, format: str) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    name = "x" * 90 if format in ("v7", "ustar") else "ä" * 100 + "/" + "y" * 90
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("content")
    (folder / "link").symlink_to(name)
    subprocess.run(["tar", f"--format={format}", "-czf", tmp_path / "x.tgz", "-C", folder, "."], check=True)
    assert unpack(tmp_path / "x.tgz", tmp_path / "out").files == 2
    assert (tmp_path / "out/link").read_text() == "content"


@pytest.mark.parametrize(
    "options", [["--format=gnu"], *(["--format=pax", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))]
)
def test_sparse_files(tmp_path: Path, options: list[str]) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    with (folder / "sparse").open("wb") as file:
        for number in range(40):
            file.seek(number << 18)
            file.write(b"data%d" % number)
        file.truncate(50 << 18)
    (folder / "zafter").write_text("after")
    file = tmp_path / "in" / "x.tar"
    file.parent.mkdir()
    subprocess.run(["tar", *options, "-S", "-cf", file, "-C", folder, "sparse", "zafter"], check=True)
    assert file.stat().st_size < 1 << 20
    assert unpack(file, tmp_path / "out") == Unpacked(files=2, bytes=(50 << 18) + 5)
    assert (tmp_path / "out/sparse").read_bytes() == (folder / "sparse").read_bytes()
    assert (tmp_path / "out/zafter").read_text() == "after"
    assert refused(file, Limits(bytes=10 << 18)) == "archive-too-big"


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/etc/passwd", b"x")],
        [entry("../x", b"x")],
        [entry("a/../../x", b"x")],
        [entry("a/..", type=FOLDER)],
        [entry("..", type=FOLDER)],
        [entry(".", b"x")],
        [link(".", "a")],
        [link("a", "/etc/passwd")],
        [link("a", "..")],
        [link("a", "b/../../c")],
        [link("d/a", "../../c")],
        [link("a", "../out/b")],
        [link("a", "")],
        # Lexically inside, but `up` is one folder and not four.
        [entry("d/e/f/", type=FOLDER), link("d/e/f/up", "../../.."), link("a", "d/e/f/up/../../..")],
        [link("a", "d/e/f/up/../../.."), entry("d/e/f/", type=FOLDER), link("d/e/f/up", "../../..")],
        [link("a", "/etc/passwd", HARD)],
        [link("a", "../in/context.tar", HARD)],
        [link("a", "b", HARD)],
        [link("a", "a", HARD)],
        [link("a", "b", HARD), entry("b", b"later")],
        [entry("d/", type=FOLDER), link("a", "d", HARD)],
        [link("a", ".", HARD)],
        [entry("f", b"x"), link("d", "."), link("a", "d/f", HARD)],
        [entry("d/f", b"x"), link("d/l", "../d"), link("l", "d/l", HARD)],
        # Writing through a link.
        [entry("d/", type=FOLDER), link("l", "d"), entry("l/x", b"x")],
        [entry("d/", type=FOLDER), link("l", "d"), entry("l/x/", type=FOLDER)],
        [entry("d/", type=FOLDER), link("l", "d"), link("l/x", "y")],
        [entry("d/f", b"x"), link("l", "d"), link("l/x", "d/f", HARD)],
        [link("l", "nowhere"), entry("l/x", b"x")],
    ],
)
def test_nothing_leads_out(archive: Archive, entries: list[Entry]) -> None:
    assert refused(archive(raw_tar(entry("ok", b"ok"), *entries))) == "archive-traversal"


def test_a_link_is_replaced_and_not_followed(archive: Archive, tmp_path: Path) -> None:
    data = raw_tar(
        entry("f", b"old"),
        link("l", "f"),
        entry("l", b"new"),
        entry("g", b"g"),
        link("d", "."),
        entry("d/", type=FOLDER),
        entry("d/x", b"x"),
    )
    unpack(archive(data), tmp_path / "out")
    out = tmp_path / "out"
    assert ((out / "f").read_bytes(), (out / "l").read_bytes(), (out / "d/x").read_bytes()) == (b"old", b"new", b"x")


def test_the_last_of_a_name_wins(archive: Archive, tmp_path: Path) -> None:
    data = raw_tar(
        entry("f", b"first"),
        link("hard", "f", HARD),
        entry("f", b"second, longer", mode=0o755),
        entry("d/x", b"x"),
        entry("d", b"no folder any more"),
        entry("e", b"file"),
        entry("e/", type=FOLDER),
        entry("e/x", b"x"),
    )
    unpack(archive(data), tmp_path / "out")
    out = tmp_path / "out"
    assert ((out / "f").read_bytes(), (out / "hard").read_bytes()) == (b"second, longer", b"first")
    assert ((out / "d").read_bytes(), (out / "e/x").read_bytes()) == (b"no folder any more", b"x")


def test_a_hard_link_to_a_link_is_that_link(archive: Archive, tmp_path: Path) -> None:
    unpack(archive(raw_tar(entry("f", b"x"), link("l", "f"), link("h", "l", HARD))), tmp_path / "out")
    assert (tmp_path / "out/h").readlink() == Path("f")


def test_a_link_to_nothing_and_one_to_itself_are_kept(archive: Archive, tmp_path: Path) -> None:
    unpack(archive(raw_tar(link("l", "absent"), link("loop", "loop"))), tmp_path / "out")
    assert (tmp_path / "out/loop").is_symlink()


def test_a_long_chain_of_links(archive: Archive, tmp_path: Path) -> None:
    """As long as one can follow it, and no longer."""
    chain = [link(f"l{number}", f"l{number + 1}") for number in range(1500)]
    assert refused(archive(raw_tar(*chain))) == "archive-traversal"
    unpack(archive(raw_tar(*chain[:30], entry("l30", b"x"))), tmp_path / "out")
    assert (tmp_path / "out/l0").read_bytes() == b"x"


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"V", b"Z"])
def test_special_files(archive: Archive, kind: bytes) -> None:
    assert refused(archive(raw_tar(entry("ok", b"x"), entry("dev", type=kind)))) == "archive-special-file"


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\tb", "\x1b[31m", "a\x7f", "a\x85b"])
def test_control_characters_in_names(archive: Archive, name: str) -> None:
    assert refused(archive(raw_tar(entry(name, b"x")))) == "archive-unreadable"
    assert refused(archive(raw_tar(link("ok", name + "\n")))) == "archive-unreadable"


def _pax(records: bytes, *, kind: bytes = b"x", size: int | None = None) -> bytes:
    header = tarfile.TarInfo("pax")
    header.type, header.size = kind, len(records) if size is None else size
    return header.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


def _record(key: str, value: bytes) -> bytes:
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (_record("path", b"a\0b"), "archive-unreadable"),
        (_record("path", b"../x"), "archive-traversal"),
        (_record("path", b"a" * 5000), "archive-too-big"),
        (_record("path", b"/".join([b"d"] * 500)), "archive-too-big"),
        (_record("path", b"n" * 256), "archive-too-big"),
        (_record("size", b"-1"), "archive-unreadable"),
        (_record("size", b"1_0"), "archive-unreadable"),
        (_record("size", "１".encode()), "archive-unreadable"),
        (_record("size", b"9" * 5000), "archive-unreadable"),
        (_record("GNU.sparse.map", b"0,1") + _record("GNU.sparse.size", b"9" * 18), "archive-too-big"),
        (_record("GNU.sparse.map", b"5,1") + _record("GNU.sparse.size", b"2"), "archive-unreadable"),
        (_record("GNU.sparse.map", b"0,1,0") + _record("GNU.sparse.size", b"2"), "archive-unreadable"),
        (_record("GNU.sparse.major", b"1"), "archive-unreadable"),
        (b"5 a=", "archive-unreadable"),
        (b"0 a=b\n", "archive-unreadable"),
        (b"99999999 a=b\n", "archive-unreadable"),
        (b"6 abc\n", "archive-unreadable"),
        (b"x" * 600, "archive-unreadable"),
    ],
)
def test_what_pax_headers_can_say(archive: Archive, records: bytes, code: str) -> None:
    assert refused(archive(_pax(records) + raw_tar(entry("f", b"x")))) == code


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
@pytest.mark.parametrize("size", [2 << 20, 8**11 - 1])
def test_huge_extended_headers(archive: Archive, kind: bytes, size: int) -> None:
    assert refused(archive(_pax(b"x" * 1024, kind=kind, size=size))) == "archive-too-big"


def test_a_long_chain_of_extended_headers_is_read_without_recursion(archive: Archive, tmp_path: Path) -> None:
    data = _pax(_record("comment", b"x")) * 5000 + raw_tar(entry("f", b"x"))
    assert unpack(archive(data), tmp_path / "out").files == 1


@pytest.mark.parametrize("mtime", [b"nan", b"inf", b"-5", b"1e300", b"x", b"123.5"])
def test_odd_times(archive: Archive, tmp_path: Path, mtime: bytes) -> None:
    unpack(archive(_pax(_record("mtime", mtime)) + raw_tar(entry("f", b"x"))), tmp_path / "out")
    assert (tmp_path / "out/f").stat().st_mtime >= 0


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_cut_short_anywhere(archive: Archive, compress: Callable[[bytes], bytes]) -> None:
    """Up to the block of zeros that ends a tar; compressed, up to the checksum at the end."""
    noise = random.Random(1).randbytes(1500)
    whole = compress(raw_tar(entry("a", noise), entry("b", noise)))
    places = {
        1,
        100,
        511,
        512,
        513,
        1024,
        2560,
        3000,
        *range(2, len(whole) - 1024 if compress is bytes else len(whole), 97),
    }
    if compress is not bytes:
        places |= {len(whole) - 1, len(whole) - 5}
    for place in sorted(places):
        if place < len(whole) - (1024 if compress is bytes else 0):
            assert refused(archive(whole[:place])) == "archive-unreadable", place


def test_damaged_in_the_middle(archive: Archive) -> None:
    data = bytearray(raw_tar(entry("a", b"x"), entry("b", b"y"), entry("c", b"z")))
    data[1024 + 5] ^= 1
    assert refused(archive(bytes(data))) == "archive-unreadable"


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("Dockerfile", "FROM scratch")
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"FROM scratch\n",
        _zip(),
        b"\x1f\x8b",
        b"\x1f\x8b" + b"x" * 2000,
        b"BZh9xx",
        b"\x28\xb5\x2f\xfd" + bytes(100),
        os.urandom(4096),
    ],
)
def test_no_archive_at_all(archive: Archive, data: bytes) -> None:
    assert refused(archive(data)) == "archive-unreadable"


@pytest.mark.parametrize(
    "data",
    [b"", raw_tar(), gzip.compress(raw_tar()), raw_tar(entry("./", type=FOLDER)), raw_tar(entry("d/", type=FOLDER))],
)
def test_an_empty_one(archive: Archive, data: bytes) -> None:
    assert refused(archive(data)) == "archive-empty"


def test_more_files_than_allowed(archive: Archive, tmp_path: Path) -> None:
    file = archive(raw_tar(*(entry(f"f{number}", b"") for number in range(11))))
    assert refused(file, Limits(files=10)) == "archive-too-big"
    assert unpack(file, tmp_path / "out", Limits(files=11)).files == 11


def test_more_bytes_than_allowed(archive: Archive, tmp_path: Path) -> None:
    file = archive(raw_tar(entry("a", b"x" * 600), entry("b", b"x" * 401)))
    assert refused(file, Limits(bytes=1000)) == "archive-too-big"
    assert unpack(file, tmp_path / "out", Limits(bytes=1001)).bytes == 1001


def test_hard_links_count_as_the_files_they_look_like(archive: Archive) -> None:
    data = raw_tar(entry("a", b"x" * 600), *(link(f"l{n}", "a", HARD) for n in range(10)))
    assert refused(archive(data), Limits(bytes=6000)) == "archive-too-big"


def test_a_claim_is_not_believed(archive: Archive) -> None:
    """Neither one of more than there is, nor one of less: what follows is no header then."""
    assert refused(archive(raw_tar(entry("a", b"x", size=8**11 - 1)))) == "archive-unreadable"
    assert refused(archive(raw_tar(entry("a", b"x" * 4096, size=10)))) == "archive-unreadable"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb(archive: Archive, compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(raw_tar(entry("zeros", bytes(64 << 20))))
    assert refused(archive(bomb)) == "archive-bomb"


def test_a_bomb_behind_the_end(archive: Archive) -> None:
    assert refused(archive(gzip.compress(raw_tar(entry("a", b"x")) + bytes(64 << 20)))) == "archive-bomb"


def test_a_bomb_of_headers(archive: Archive) -> None:
    data = gzip.compress(_pax(_record("comment", b"x" * 500_000)) * 60 + raw_tar(entry("a", b"x")))
    assert refused(archive(data), Limits(ratio=10_000, bytes=1 << 20, files=10)) == "archive-too-big"


def test_xz_cannot_ask_for_all_memory(archive: Archive) -> None:
    data = lzma.compress(raw_tar(entry("a", b"x")), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}])
    assert refused(archive(data)) == "archive-unreadable"


def test_several_streams_and_padding(archive: Archive, tmp_path: Path) -> None:
    data = raw_tar(entry("a", b"x"))
    for number, compress in enumerate((gzip.compress, bz2.compress, lzma.compress)):
        file = archive(compress(data[:600]) + compress(data[600:]) + (bytes(8) if compress is lzma.compress else b""))
        assert unpack(file, tmp_path / str(number)).files == 1


def test_a_folder_that_is_there_is_left_alone(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(SourceFailed) as caught:
        unpack(archive(raw_tar(entry("a", b"x"))), tmp_path / "out")
    assert caught.value.code == "archive-unwritable"
    assert (tmp_path / "out/mine").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed) as caught:
        unpack(tmp_path / "absent", tmp_path / "out")
    assert caught.value.code == "archive-unreadable"


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c\n"]), min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, LINK, HARD, FOLDER])


def leads_in_a_circle(path: Path) -> bool:
    """Which is nowhere; Python resolves such a link to a path that the kernel never comes to: `b` -> `b//a` to /a."""
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, KINDS, NAMES), min_size=1, max_size=8))
def test_no_sequence_of_entries_gets_out(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes, str]]
) -> None:
    place = tmp_path_factory.mktemp("x")
    (place / "box").mkdir()
    (place / "secret").write_text("untouched")
    data = raw_tar(
        *(
            entry(name, b"x" if kind == tarfile.REGTYPE else b"", type=kind, linkname=target)
            for name, kind, target in entries
        )
    )
    (place / "in.tar").write_bytes(data)
    out = place / "box" / "out"
    try:
        unpack(place / "in.tar", out)
    except SourceRefused:
        assert not out.exists()
    else:
        for path in out.rglob("*"):
            if not leads_in_a_circle(path):
                assert Path(os.path.realpath(path)).is_relative_to(out)
    assert (place / "secret").read_text() == "untouched"
    assert {path.name for path in place.iterdir()} == {"box", "secret", "in.tar"}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = bytearray(_pax(_record("path", b"p/q")) + raw_tar(entry("a", b"x" * 700), link("l", "a"), entry("b", b"")))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    place = tmp_path_factory.mktemp("x")
    (place / "in.tar").write_bytes(bytes(whole))
    try:
        unpack(place / "in.tar", place / "out")
    except SourceRefused:
        assert not (place / "out").exists()

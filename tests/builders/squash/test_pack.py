"""Packing: the same bytes on any number of threads, proved when made; nothing packed twice, no damage passed on."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import Buffer

from builders import zstd
from builders.errors import SquashError
from builders.squash import blobs, members
from builders.squash import codec as codecs
from builders.squash import pack as packing
from builders.squash.blobs import Blob, BlobStore
from builders.squash.codec import BLOCK, Compression, codec
from builders.squash.cuts import LARGE
from builders.squash.members import Members
from builders.squash.pieces import Content, Piece
from builders.squash.source import Layer
from builders.squash.spare import remove_blobs

from .test_cuts import tar

ROOT = Path(__file__).resolve().parents[3]
BALANCED = codec(Compression.BALANCED)


def mixed(size: int, seed: int = 0) -> bytes:
    """Bytes that pack to something, the same each time."""
    text = b"".join(
        hashlib.sha256(f"{seed} {number // 7}".encode()).hexdigest().encode()[: 20 + number % 40]
        for number in range(size // 30 + 1)
    )
    return text[:size]


def archive(files: list[tuple[str, bytes]]) -> tuple[bytes, list[int]]:
    """A tar of these files, and where each one's content begins in it."""
    raw, starts = b"", []
    for name, data in files:
        whole = tar([(name, len(data))])
        raw += whole[:512]
        starts.append(len(raw))
        raw += data + bytes(-len(data) % 512)
    return raw + bytes(1024), starts


FILES = [
    ("a", mixed(1000)),
    ("b", mixed(LARGE + 5, 1)),
    ("c", mixed(3 * BLOCK + 77, 2)),
    ("d", mixed(BLOCK, 3)),
    ("e", b""),
    ("f", mixed(BLOCK + 1, 4)),
    ("g", bytes(2 * BLOCK)),
]
RAW, STARTS = archive(FILES)


def packed(folder: Path, pieces: list[Piece], **how: int) -> Blob:
    return BlobStore(folder, **how).pack(pieces, lambda: None)  # type: ignore[arg-type]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the blocks that are packed, as they are."""
    found: list[int] = []

    def counted(plain: bytes, before: bytes, last: bool) -> bytes:
        found.append(len(plain))
        return BALANCED.block(plain, before, last)

    monkeypatch.setattr(blobs, "codec", lambda _: replace(BALANCED, block=counted))
    return found


def test_one_two_and_many_threads_give_the_same_blob(tmp_path: Path) -> None:
    made = [packed(tmp_path / str(workers), [RAW], workers=workers) for workers in (1, 2, 3, 7)]
    assert {blob.digest for blob in made} == {made[0].digest}
    assert made[0].diff_id == f"sha256:{hashlib.sha256(RAW).hexdigest()}"
    assert made[0].path.read_bytes() == made[3].path.read_bytes()


def test_what_reads_gzip_reads_it(tmp_path: Path) -> None:
    blob = packed(tmp_path, [RAW])
    assert gzip.decompress(blob.path.read_bytes()) == RAW
    with blob.path.open("rb") as file:
        assert subprocess.run(["gzip", "-dc"], stdin=file, capture_output=True, check=True).stdout == RAW
    listed = subprocess.run(["tar", "-tzf", str(blob.path)], capture_output=True, check=True, text=True).stdout
    assert listed.split() == [name for name, _ in FILES]


@pytest.mark.parametrize("compression", list(Compression))
def test_every_compression_gives_the_same_blob_again(tmp_path: Path, compression: Compression) -> None:
    raw, _ = archive([(name, data[: BLOCK + 1000]) for name, data in FILES])
    made = [
        BlobStore(tmp_path / str(workers), compression=compression, workers=workers).pack([raw], lambda: None)
        for workers in (1, 3)
    ]
    assert made[0].digest == made[1].digest
    data = made[0].path.read_bytes()
    assert (b"".join(zstd.unpack([data])) if compression is Compression.ZSTD else gzip.decompress(data)) == raw
    assert made[0].media_type == codec(compression).media_type
    assert BlobStore(tmp_path / "1", compression=compression).find(made[0].diff_id) == made[0]
    assert len({codec(other).key for other in Compression}) == len(Compression)


def test_an_empty_layer_is_still_gzip(tmp_path: Path) -> None:
    blob = packed(tmp_path, [])
    assert (blob.uncompressed, gzip.decompress(blob.path.read_bytes())) == (0, b"")
    assert blob.size > 0


@settings(max_examples=25, deadline=None)
@given(points=st.lists(st.integers(0, len(RAW)), max_size=10), workers=st.integers(1, 4), kept=st.randoms())
def test_no_pieces_threads_or_members_known_make_a_difference(
    tmp_path_factory: pytest.TempPathFactory, points: list[int], workers: int, kept: Random
) -> None:
    folder = tmp_path_factory.mktemp("pack")
    file = folder / "layer.tar"
    file.write_bytes(RAW)
    bounds = sorted({0, len(RAW), *points})
    pieces: list[Piece] = [
        Content(path=file, offset=start, size=end - start) if kept.random() < 0.5 else RAW[start:end]
        for start, end in itertools.pairwise(bounds)
    ]
    cold = packed(folder / "store", pieces, workers=workers)
    assert cold.digest == whole_digest()
    assert packed(folder / "store", pieces, workers=workers).digest == cold.digest, "with all its members known"


@cache
def whole_digest() -> str:
    return f"sha256:{hashlib.sha256(b''.join(expected_members())).hexdigest()}"


def expected_members() -> Iterator[bytes]:
    """What the format says, written down plainly: gaps and large contents, in blocks of a mebibyte."""
    begun = 0
    spans = []
    for (_, data), start in zip(FILES, STARTS, strict=True):
        if len(data) >= LARGE:
            spans += [(begun, start), (start, start + len(data))]
            begun = start + len(data)
    for start, end in [*spans, (begun, len(RAW))]:
        plain = RAW[start:end]
        yield BALANCED.header
        for at in range(0, len(plain), BLOCK):
            block = plain[at : at + BLOCK]
            yield BALANCED.block(block, plain[max(0, at - codecs.WINDOW) : at], at + BLOCK >= len(plain))
        yield BALANCED.trailer(codecs.crc32(plain), len(plain))


def test_a_layer_with_one_file_changed_packs_that_file_alone(tmp_path: Path, calls: list[int]) -> None:
    store = tmp_path / "store"
    packed(store, [RAW])
    first = sum(calls)
    calls.clear()
    again, _ = archive([(name, b"newer " + data if name == "a" else data) for name, data in FILES])
    (tmp_path / "layer.tar").write_bytes(again)
    blob = packed(store, [Content(path=tmp_path / "layer.tar", offset=0, size=len(again))])
    assert gzip.decompress(blob.path.read_bytes()) == again
    assert sum(calls) < 10_000 < first


@pytest.mark.parametrize("size", [LARGE, 2 * BLOCK])
def test_another_content_of_the_same_size_and_checksum_is_not_taken_for_it(tmp_path: Path, size: int) -> None:
    """Whoever can choose a file's content can choose its crc32 too."""
    store, head, tail = tmp_path / "store", tar([("c", size)])[:512], bytes(1024)
    for seed in (5, 6):
        (tmp_path / str(seed)).write_bytes(mixed(size, seed))
    packed(store, [head, Content(path=tmp_path / "5", offset=0, size=size), tail])
    with contextlib.closing(sqlite3.connect(store / "members.sqlite")) as index:
        index.execute("UPDATE member SET crc = ? WHERE plain = ?", (codecs.crc32(mixed(size, 6)), size))
        index.commit()
    blob = packed(store, [head, Content(path=tmp_path / "6", offset=0, size=size), tail])
    assert gzip.decompress(blob.path.read_bytes()) == head + mixed(size, 6) + tail


def damage(blob: Blob, at: int) -> None:
    raw = bytearray(blob.path.read_bytes())
    raw[at] ^= 1
    blob.path.write_bytes(raw)


@pytest.mark.parametrize("how", ["flipped", "header", "cut", "gone"])
@pytest.mark.parametrize("size", [LARGE, 2 * BLOCK])
@pytest.mark.parametrize("prove", [True, False])
def test_a_damaged_blob_does_not_spread(tmp_path: Path, how: str, size: int, prove: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(mixed(size, 9))
    content = Content(path=file, offset=0, size=size)
    pieces = [tar([("one", size)])[:512], content, bytes(1024)]
    first = BlobStore(tmp_path / "store").pack(pieces, lambda: None, prove=prove)
    if how == "flipped":
        damage(first, first.size // 2)
    elif how == "header":
        damage(first, first.path.read_bytes().index(BALANCED.header, 1) + 4)  # the time in it: no unpacker minds
    elif how == "cut":
        # In the middle of the trailer: all of the content is there.
        first.path.write_bytes(first.path.read_bytes()[: first.path.read_bytes().rindex(BALANCED.header) - 3])
    else:
        first.path.unlink()
    more = [tar([("more", LARGE)])[:512], *([mixed(LARGE, 3)] * 3)]
    second = packed(tmp_path / "store", [tar([("two", size)])[:512], content, *more, bytes(1024)])
    assert second.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(second.path.read_bytes())).hexdigest()}"
    assert gzip.decompress(second.path.read_bytes())[512 : 512 + size] == mixed(size, 9)
    third = packed(tmp_path / "store", [tar([("three", size)])[:512], content, bytes(1024)])
    assert gzip.decompress(third.path.read_bytes())[512 : 512 + size] == mixed(size, 9)


@pytest.mark.parametrize("how", ["text", "empty", "version", "rows", "places", "bytes", "locked", "folder"])
def test_an_index_in_whatever_state_is_no_error(tmp_path: Path, how: str) -> None:
    file = tmp_path / "layer.tar"
    file.write_bytes(RAW)
    pieces: list[Piece] = [Content(path=file, offset=0, size=len(RAW))]
    store = tmp_path / "store"
    first = packed(store, pieces)
    index = store / "members.sqlite"
    with contextlib.ExitStack() as held:
        if how == "text":
            index.write_bytes(b"no database" * 1000)
        elif how == "empty":
            index.write_bytes(b"")
        elif how == "folder":
            index.unlink()
            index.mkdir()
        else:
            other = held.enter_context(contextlib.closing(sqlite3.connect(index)))
            if how == "version":
                other.executescript("PRAGMA user_version = 9; DROP TABLE member; CREATE TABLE member (x)")
            elif how == "places":
                other.executescript("UPDATE member SET start = -1")
            elif how == "bytes":
                other.executescript("UPDATE member SET blob = CAST(x'ff80' AS TEXT)")
            elif how == "rows":
                other.executescript(
                    "UPDATE member SET start = start + 1 WHERE plain % 2;"
                    "UPDATE member SET blob = '../../x' WHERE plain % 3 = 0; UPDATE member SET size = size + 1"
                )
            else:
                held.enter_context(pytest.MonkeyPatch.context()).setattr(members, "_PATIENCE", 0.0)
                other.execute("BEGIN EXCLUSIVE")
        assert packed(store, pieces) == first
    if how != "folder":
        assert packed(store, pieces) == first
        with Members(store) as known:
            assert known.has_size(BALANCED.key, len(FILES[2][1]))


def test_members_of_blobs_that_go_are_forgotten(tmp_path: Path) -> None:
    blob = packed(tmp_path, [RAW])
    with Members(tmp_path) as known:
        assert known.has_size(BALANCED.key, len(FILES[2][1]))
    remove_blobs(tmp_path, [blob.digest])
    with Members(tmp_path) as known:
        assert not known.has_size(BALANCED.key, len(FILES[2][1]))


def test_a_packer_that_errs_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof of each block: the library gives sound deflate, of other bytes."""

    right = True

    class Packer:
        def __init__(self, *how: object) -> None:
            self._packer = codecs.isal_zlib.compressobj(*how)
            self.flush = self._packer.flush

        def compress(self, plain: bytes) -> bytes:
            packed: bytes = self._packer.compress(plain if right else plain[:-1] + bytes((plain[-1] ^ 1,)))
            return packed

    constants = {name: getattr(codecs.isal_zlib, name) for name in ("DEFLATED", "Z_FINISH", "Z_SYNC_FLUSH")}
    wrong = codecs._gzip(SimpleNamespace(compressobj=Packer, **constants), "isal", 2)
    right = False
    monkeypatch.setattr(blobs, "codec", lambda _: wrong)
    with pytest.raises(SquashError) as caught:
        packed(tmp_path, [RAW])
    assert caught.value.code == "packing-failed"
    assert list((tmp_path / "sha256").iterdir()) == []


def test_a_checksum_that_two_libraries_disagree_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = SimpleNamespace(crc32=lambda data, before=0: codecs.isal_zlib.crc32(data, before) ^ 1)
    monkeypatch.setattr(codecs, "zlib_ng", wrong)
    with pytest.raises(SquashError) as caught:
        packed(tmp_path, [RAW])
    assert (caught.value.code, caught.value.subject) == ("packing-failed", "crc32")


def test_a_content_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """It is read twice where one of its size is known: for the layer's digest, and to be packed."""
    size = 2 * BLOCK
    file = tmp_path / "file"
    file.write_bytes(mixed(size, 1))
    packed(tmp_path / "store", [tar([("a", size)])[:512], Content(path=file, offset=0, size=size), bytes(1024)])
    file.write_bytes(mixed(size, 2))
    asked = itertools.count()

    def check() -> None:
        if next(asked) == 3:  # after the gap, two blocks for the digest, and one of two to be packed
            file.write_bytes(mixed(size, 3))

    with pytest.raises(SquashError) as caught:
        BlobStore(tmp_path / "store").pack(
            [tar([("a", size)])[:512], Content(path=file, offset=0, size=size), bytes(1024)], check
        )
    assert (caught.value.code, caught.value.message) == ("layer-damaged", "its content changed while it was read")


def test_a_blob_that_goes_while_a_member_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(mixed(2 * BLOCK, 1))
    content = Content(path=file, offset=0, size=2 * BLOCK)
    first = packed(tmp_path / "store", [tar([("a", 2 * BLOCK)])[:512], content, bytes(1024)])
    stands_for = packing._Packing._stands_for

    def gone(self: packing._Packing, found: members.Found, digest: bytes, content: Content) -> object:
        was = stands_for(self, found, digest, content)
        first.path.unlink()
        return was

    monkeypatch.setattr(packing._Packing, "_stands_for", gone)
    with pytest.raises(SquashError) as caught:
        packed(tmp_path / "store", [tar([("b", 2 * BLOCK)])[:512], content, bytes(1024)])
    assert caught.value.code == "blob-damaged"
    assert list((tmp_path / "store" / "sha256").iterdir()) == []


def test_what_was_packed_without_a_proof_is_unpacked_before_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that is kept is packed as it is, by a packer that errs: nothing of it comes into a merged one."""
    file = tmp_path / "layer.tar"
    file.write_bytes(RAW)
    layer = Layer(path=file, diff_id=f"sha256:{hashlib.sha256(RAW).hexdigest()}", size=len(RAW))

    def wrong(plain: bytes, before: bytes, last: bool) -> bytes:
        return BALANCED.block(plain[:-1] + b"!", before, last)

    with monkeypatch.context() as patched:
        patched.setattr(blobs, "codec", lambda _: replace(BALANCED, block=wrong))
        kept = BlobStore(tmp_path / "store").compress(layer, lambda: None)
        assert kept.digest != whole_digest()
    merged = packed(tmp_path / "store", [Content(path=file, offset=0, size=len(RAW))])
    assert merged.digest == whole_digest()


def test_what_was_proved_is_not_unpacked_again_and_what_was_not_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[int] = []

    def counted(pieces: Iterable[bytes]) -> Iterator[bytes]:
        unpacked.append(1)
        return BALANCED.unpacked(pieces)

    monkeypatch.setattr(blobs, "codec", lambda _: replace(BALANCED, unpacked=counted))
    file = tmp_path / "layer.tar"
    found = []
    for number, prove in enumerate((False, False, True, True, False, True)):
        unpacked.clear()
        raw, _ = archive([(name, b"%d" % number if name == "a" else data) for name, data in FILES])
        file.write_bytes(raw)
        pieces = [Content(path=file, offset=0, size=len(raw))]
        blob = BlobStore(tmp_path / "store").pack(pieces, lambda: None, prove=prove)
        assert gzip.decompress(blob.path.read_bytes()) == raw
        found.append(len(unpacked))
    large = sum(len(data) >= LARGE for _, data in FILES)
    # Packed twice; proved by it; known as proved; packed without a proof, and known as proved still.
    assert found == [0, 0, large, 0, 0, 0]


@pytest.mark.parametrize("after", [0, 1, 5])
def test_who_cancels_ends_it_and_its_threads(tmp_path: Path, after: int) -> None:
    asked = itertools.count()

    def check() -> None:
        if next(asked) >= after:
            raise InterruptedError

    before = threading.active_count()
    with pytest.raises(InterruptedError):
        BlobStore(tmp_path).pack([RAW], check)
    assert threading.active_count() == before
    assert list((tmp_path / "sha256").iterdir()) == []
    assert list(tmp_path.glob(".new-*")) == []


def test_a_content_that_ends_early(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * LARGE)
    with pytest.raises(SquashError) as caught:
        packed(tmp_path / "store", [tar([("a", 2 * LARGE)])[:512], Content(path=file, offset=0, size=2 * LARGE)])
    assert (caught.value.code, caught.value.message) == ("layer-damaged", "its content ends early")


def test_no_more_is_held_than_a_few_blocks(tmp_path: Path) -> None:
    """What is read runs ahead of what is written by a few blocks, whatever the layer's size."""
    read = written = ahead = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        yield tar([("a", 64 * BLOCK)])[:512]
        for _ in range(64):
            read += 1
            yield Random(read).randbytes(BLOCK)

    class Out(io.BytesIO):
        def write(self, data: Buffer, /) -> int:
            nonlocal written, ahead
            ahead = max(ahead, read - written)
            written += 1
            return super().write(data)

    packing.pack(pieces(), Out(), codec=BALANCED, known=Members(tmp_path), check=lambda: None, workers=2)
    assert read == 64
    assert ahead <= (2 * 2 + 2) + 2 + 5  # begun, looked at, on their way to the disk


PROGRAM = """
import sys
from pathlib import Path
from builders.squash.blobs import BlobStore
from builders.squash.codec import BLOCK
from builders.squash.pieces import Content
store, *files = map(Path, sys.argv[1:])
for file in files:
    pieces = [Content(path=file, offset=0, size=file.stat().st_size)]
    print(BlobStore(store).pack(pieces, lambda: None).digest, flush=True)
"""


def test_several_processes_pack_into_one_store_at_once(tmp_path: Path) -> None:
    """They share the index and the blobs; each has what it would have alone."""
    files = []
    for number in range(3):
        raw, _ = archive([(name, data + b"x" * number if name == "b" else data) for name, data in FILES])
        files.append(tmp_path / f"{number}.tar")
        files[-1].write_bytes(raw)
    alone = [packed(tmp_path / "alone", [file.read_bytes()]).digest for file in files]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, tmp_path / "store", *files[first:], *files[:first]],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for first in range(3)
    ]
    said = [process.communicate(timeout=120)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert said == [[*alone[first:], *alone[:first]] for first in range(3)]
    with Members(tmp_path / "store") as known:
        assert known.has_size(BALANCED.key, len(FILES[2][1]))


def test_what_a_killed_process_leaves_is_no_blob_and_is_swept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = PROGRAM.replace(
        "[Content(path=file, offset=0, size=file.stat().st_size)]", "iter(lambda f=file.open('rb'): f.read(BLOCK), b'')"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "store", pipe], cwd=ROOT) as process:
        try:
            with pipe.open("wb") as writing:
                writing.write(mixed(1000) + b"\n")
                # As much as it holds before it writes, and more: when all is taken, some has been written.
                for seed in range(40):
                    writing.write(Random(seed).randbytes(BLOCK))
                writing.flush()
                process.kill()
                process.wait(60)
        finally:
            process.kill()
    left = list((tmp_path / "store").glob(".new-*"))
    assert len(left) == 1
    assert list((tmp_path / "store" / "sha256").iterdir()) == []
    blob = packed(tmp_path / "store", [RAW])
    size = left[0].stat().st_size
    assert size > 0
    assert remove_blobs(tmp_path / "store", []) == size
    assert not left[0].exists()
    assert BlobStore(tmp_path / "store").find(blob.diff_id) == blob


def test_no_thread_is_left_behind_by_an_interrupt_while_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = packing._Threads(2)
    for executor in (threads.pool, threads.plain, threads.packed, threads.content):
        executor.submit(int).result()
    end = threads.pool.shutdown

    def interrupted(**options: bool) -> None:
        end(**options)
        raise KeyboardInterrupt

    monkeypatch.setattr(threads.pool, "shutdown", interrupted)
    with pytest.raises(KeyboardInterrupt), threads:
        pass
    left = [one.name for one in threading.enumerate() if one.name.startswith(("pack_", "digest-"))]
    assert left == []

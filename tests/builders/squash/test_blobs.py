"""Compressed layers: made once, the same however they are fed, never half of one."""

from __future__ import annotations

import gzip
import hashlib
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.squash import blobs
from builders.squash.blobs import FEED, Blob, BlobStore
from builders.squash.source import Layer

CONTENT = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() + b"x" * 40 for number in range(60_000))


def stored(folder: Path, pieces: list[bytes]) -> Blob:
    with BlobStore(folder).writer() as writer:
        for piece in pieces:
            writer.write(piece)
    return writer.blob


def test_a_blob_is_what_it_says(tmp_path: Path) -> None:
    blob = stored(tmp_path, [CONTENT])
    packed = blob.path.read_bytes()
    assert gzip.decompress(packed) == CONTENT
    assert blob.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}" == f"sha256:{blob.path.name}"
    assert blob.diff_id == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert (blob.size, blob.uncompressed) == (len(packed), len(CONTENT))
    assert packed[4:8] == bytes(4), "a time in the gzip header"
    assert packed[3] == 0, "a name in the gzip header"


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=20))
def test_how_it_is_fed_makes_no_difference(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    folder = tmp_path_factory.mktemp("blobs")
    bounds = [0, *sorted(cuts), len(CONTENT)]
    pieces = [CONTENT[start:end] for start, end in itertools.pairwise(bounds)]
    assert stored(folder, pieces).digest == stored(folder, [CONTENT]).digest


def test_feeding_in_blocks_is_what_makes_it_so() -> None:
    """The compressor itself does depend on how it is fed; if that ends, the blocks are needless."""
    from isal import isal_zlib

    def packed(step: int) -> bytes:
        compressor = isal_zlib.compressobj(blobs.LEVEL, isal_zlib.DEFLATED, 31)
        parts = [compressor.compress(CONTENT[at : at + step]) for at in range(0, len(CONTENT), step)]
        return b"".join(parts) + compressor.flush()

    assert packed(1000) != packed(FEED)


def test_a_layer_is_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(CONTENT)
    diff_id = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    source = Layer(path=layer, diff_id=diff_id, size=len(CONTENT))
    first = BlobStore(tmp_path / "store").compress(source, lambda: None)

    def never(*_: object) -> None:
        raise AssertionError("compressed again")

    monkeypatch.setattr(blobs.isal_zlib, "compressobj", never)
    assert BlobStore(tmp_path / "store").compress(source, lambda: None) == first
    unread = Layer(path=None, diff_id=diff_id, size=len(CONTENT))
    assert BlobStore(tmp_path / "store").compress(unread, lambda: None) == first


@pytest.mark.parametrize("damage", ["cut", "gone", "note"])
def test_a_damaged_blob_is_made_again(tmp_path: Path, damage: str) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(CONTENT)
    diff_id = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    store = BlobStore(tmp_path / "store")
    source = Layer(path=layer, diff_id=diff_id, size=len(CONTENT))
    blob = store.compress(source, lambda: None)
    if damage == "cut":
        blob.path.write_bytes(blob.path.read_bytes()[:-1])
    elif damage == "gone":
        blob.path.unlink()
    else:
        (tmp_path / "store" / "gzip-2" / diff_id.partition(":")[2]).write_text("{")
    assert store.find(diff_id) is None
    assert store.compress(source, lambda: None) == blob
    assert gzip.decompress(blob.path.read_bytes()) == CONTENT


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with BlobStore(tmp_path).writer() as writer:
            writer.write(CONTENT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_damaged_blob_is_dropped_and_made_again_and_a_good_one_stays(tmp_path: Path) -> None:
    good, bad = stored(tmp_path / "blobs", [b"good"]), stored(tmp_path / "blobs", [CONTENT])
    packed = bytearray(bad.path.read_bytes())
    packed[len(packed) // 2] ^= 1
    bad.path.write_bytes(packed)
    store = BlobStore(tmp_path / "blobs")
    assert store.find(bad.diff_id), "by its size it is whole"
    assert store.drop_damaged([good.digest, bad.digest, f"sha256:{'0' * 64}"]) == (bad.digest,)
    assert store.find(good.diff_id)
    assert store.find(bad.diff_id) is None
    assert stored(tmp_path / "blobs", [CONTENT]).digest == bad.digest
    assert store.drop_damaged([good.digest, bad.digest]) == ()

"""Compressed layers: made once, the same however they are fed, never half of one."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.errors import SquashError
from builders.squash import blobs
from builders.squash.blobs import Blob, BlobStore
from builders.squash.codec import Compression, codec
from builders.squash.source import Layer
from builders.squash.spare import remove_blobs, stored_blobs

CONTENT = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() + b"x" * 40 for number in range(60_000))


def stored(folder: Path, pieces: list[bytes]) -> Blob:
    return BlobStore(folder).pack(pieces, lambda: None)


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


def test_a_layer_is_compressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(CONTENT)
    diff_id = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    source = Layer(path=layer, diff_id=diff_id, size=len(CONTENT))
    first = BlobStore(tmp_path / "store").compress(source, lambda: None)

    def never(*_: object) -> None:
        raise AssertionError("compressed again")

    monkeypatch.setattr(blobs, "pack", never)
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
        (tmp_path / "store" / codec(Compression.BALANCED).key / diff_id.partition(":")[2]).write_text("{")
    assert store.find(diff_id) is None
    assert store.compress(source, lambda: None) == blob
    assert gzip.decompress(blob.path.read_bytes()) == CONTENT


def test_what_fails_leaves_no_blob_and_no_thread(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield CONTENT
        raise RuntimeError

    before = threading.active_count()
    with pytest.raises(RuntimeError):
        BlobStore(tmp_path).pack(pieces(), lambda: None)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "members.sqlite"] == []
    assert threading.active_count() == before


def test_a_layer_that_is_not_what_its_diff_id_says(tmp_path: Path) -> None:
    file = tmp_path / "layer.tar"
    file.write_bytes(CONTENT)
    store = BlobStore(tmp_path / "store")
    said = f"sha256:{'0' * 64}"
    with pytest.raises(SquashError) as caught:
        store.compress(Layer(path=file, diff_id=said, size=len(CONTENT)), lambda: None)
    assert (caught.value.code, caught.value.subject) == ("layer-damaged", said)
    assert list((tmp_path / "store" / "sha256").iterdir()) == []


def test_another_compression_has_blobs_of_its_own(tmp_path: Path) -> None:
    balanced = BlobStore(tmp_path).pack([CONTENT], lambda: None)
    fast = BlobStore(tmp_path, compression=Compression.FAST)
    assert fast.find(balanced.diff_id) is None
    other = fast.pack([CONTENT], lambda: None)
    assert (other.diff_id, gzip.decompress(other.path.read_bytes())) == (balanced.diff_id, CONTENT)
    assert other.digest != balanced.digest
    assert BlobStore(tmp_path).find(balanced.diff_id) == balanced


def test_what_an_older_version_left_is_not_found_and_goes_with_its_blob(tmp_path: Path) -> None:
    """Blobs that another codec made stay where images have them; their notes end with them."""
    blob = BlobStore(tmp_path).pack([CONTENT], lambda: None)
    note = {"digest": blob.digest, "size": blob.size, "uncompressed": blob.uncompressed}
    blob.path.rename(old := blob.path.with_name("0" * 64))
    (tmp_path / "gzip-2").mkdir()
    (tmp_path / "gzip-2" / blob.diff_id.partition(":")[2]).write_text(
        json.dumps(note | {"digest": f"sha256:{old.name}"})
    )
    assert BlobStore(tmp_path).find(blob.diff_id) is None
    assert [stored.digest for stored in stored_blobs(tmp_path)] == [f"sha256:{old.name}"]
    assert remove_blobs(tmp_path, [f"sha256:{old.name}"]) == blob.size
    assert not (tmp_path / "gzip-2").exists()
    assert BlobStore(tmp_path).pack([CONTENT], lambda: None) == blob


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

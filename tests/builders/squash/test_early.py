"""Layers that are packed while the engine still saves the others."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from builders.squash.blobs import Blob, BlobStore
from builders.squash.early import Early
from builders.squash.source import Layer
from builders.squash.spare import UNFINISHED

from .layers import file, tar_of


def layer_in(folder: Path, name: str) -> Layer:
    raw = tar_of([file(name, name.encode() * 1000)])
    (folder / name).write_bytes(raw)
    return Layer(path=folder / name, offset=0, diff_id=f"sha256:{hashlib.sha256(raw).hexdigest()}", size=len(raw))


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def layers(tmp_path: Path) -> tuple[Layer, Layer]:
    return layer_in(tmp_path, "one"), layer_in(tmp_path, "two")


def test_those_that_stay_are_there_at_the_end_and_the_others_are_not(
    store: BlobStore, layers: tuple[Layer, Layer]
) -> None:
    one, two = layers
    told: list[Blob] = []
    with Early(store, stay=[one.diff_id], room=0, check=lambda: None, on_blob=told.append) as early:
        early.take(one)
        early.take(two)
    assert [store.find(one.diff_id)] == told
    assert told[0].diff_id == one.diff_id
    assert store.find(two.diff_id) is None


def test_one_that_cannot_be_packed_costs_the_others_nothing(store: BlobStore, layers: tuple[Layer, Layer]) -> None:
    one, two = layers
    one.path.write_bytes(bytes(one.size))
    with Early(store, stay=[one.diff_id, two.diff_id], room=0, check=lambda: None, on_blob=lambda _: None) as early:
        early.take(one)
        early.take(two)
    assert store.find(one.diff_id) is None
    assert store.find(two.diff_id) is not None
    assert list(store.folder.glob(f"{UNFINISHED}*")) == []


def test_nothing_is_packed_where_the_disk_may_not_have_room_for_both(
    store: BlobStore, layers: tuple[Layer, Layer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=999))
    with Early(store, stay=[layers[0].diff_id], room=1000, check=lambda: None, on_blob=lambda _: None) as early:
        early.take(layers[0])
    assert store.find(layers[0].diff_id) is None


def test_what_is_under_way_ends_where_the_image_is_not_needed_any_more(
    store: BlobStore, layers: tuple[Layer, Layer]
) -> None:
    begun, left = threading.Event(), threading.Event()

    def check() -> None:
        begun.set()
        left.wait(20)

    def leave() -> None:
        with Early(store, stay=[one.diff_id for one in layers], room=0, check=check, on_blob=lambda _: None) as early:
            early.take(layers[0])
            early.take(layers[1])
            assert begun.wait(20)
            threading.Timer(0.05, left.set).start()
            raise RuntimeError("the archive ends early")

    with pytest.raises(RuntimeError):
        leave()
    assert store.find(layers[1].diff_id) is None
    assert list(store.folder.glob(f"{UNFINISHED}*")) == []


def test_an_interrupt_while_the_last_are_packed_ends_them(store: BlobStore, tmp_path: Path) -> None:
    layers = [layer_in(tmp_path, f"layer-{number}") for number in range(6)]
    begun = threading.Event()

    def check() -> None:
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            time.sleep(0.2)

    def interrupt() -> None:
        begun.wait(20)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    stay = [one.diff_id for one in layers]

    def take_all() -> None:
        with Early(store, stay=stay, room=0, check=check, on_blob=lambda _: None) as early:
            for one in layers:
                early.take(one)

    with pytest.raises(KeyboardInterrupt):
        take_all()
    assert not [one for one in threading.enumerate() if one.name.startswith("early") and one.is_alive()]
    assert store.find(layers[-1].diff_id) is None

"""Layers that are not what they were, or that somebody writes to in the middle: no image is made of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builders import Limits, SquashError, SquashMode, open_archive, open_layout, squash_opened
from builders.squash.blobs import BlobStore
from builders.squash.contents import Contents
from builders.squash.plan import Plan
from builders.squash.run import squash_source
from builders.squash.source import SourceImage
from builders.squash.spare import remove_blobs
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType

from .layers import file, folder, source_of, tar_of, whiteout
from .splits import split_layer

BASE = tar_of([folder("d"), file("d/secret", "s" * 100), file("d/other", "o")])
LESS = tar_of([folder("d"), file("d/other", "o")])
ABOVE = [tar_of([whiteout("d/secret")]), tar_of([file("z", "z")])]


def in_engine(where: Path, raws: Sequence[bytes]) -> SourceImage:
    source = source_of(where / "source", raws)
    layers = tuple(split_layer(where / "engine" / str(number), raw) for number, raw in enumerate(raws))
    return replace(source, layers=layers)


def squashed(source: SourceImage, store: BlobStore, layout: Path) -> None:
    plan = Plan(mode=SquashMode.FROM_BASE, start=1)
    squash_source(source, plan=plan, layout=layout, store=store, subject="image", check=lambda: None)


@pytest.mark.parametrize("vouched", [True, False])
def test_a_base_whose_list_lacks_what_is_to_be_hidden(tmp_path: Path, *, vouched: bool) -> None:
    """Its blob is there, so nothing of it is packed; by such a list the deleted file would come back."""
    store = BlobStore(tmp_path / "blobs")
    good = in_engine(tmp_path, [BASE, *ABOVE])
    plain = source_of(tmp_path / "plain", [BASE])
    store.compress((good if vouched else plain).layers[0], lambda: None)
    wrong = replace(good.layers[0], split=split_layer(tmp_path / "less", LESS).split)
    with pytest.raises(SquashError) as caught:
        squashed(replace(good, layers=(wrong, *good.layers[1:])), store, tmp_path / "layout")
    assert caught.value.code == "layer-changed"
    assert not (tmp_path / "layout").exists()
    squashed(good, store, tmp_path / "layout")


def test_a_list_that_was_right_once_spares_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(tmp_path / "blobs")
    source = in_engine(tmp_path, [BASE, *ABOVE])
    blob = store.compress(source_of(tmp_path / "plain", [BASE]).layers[0], lambda: None)
    read = []
    real = Contents.span

    def reading(self: Contents, path: Path | bytes, *args: int) -> bytes:
        read.append(Path(os.fsdecode(path)).name)
        return real(self, path, *args)

    monkeypatch.setattr(Contents, "span", reading)
    squashed(source, store, tmp_path / "first")
    assert "other" in read, "nobody has seen it with this list yet"
    read.clear()
    squashed(source, store, tmp_path / "second")
    assert "other" not in read
    remove_blobs(tmp_path / "blobs", [blob.digest])
    assert not store.vouches(source.layers[0])
    assert not (tmp_path / "blobs" / "lists-1").exists()


def archive(path: Path, raws: Sequence[bytes], config: bytes) -> None:
    names = [f"{number}/layer.tar" for number in range(len(raws))]
    manifest = json.dumps([{"Config": "config.json", "RepoTags": None, "Layers": names}]).encode()
    contents = {**dict(zip(names, raws, strict=True)), "config.json": config, "manifest.json": manifest}
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def config_of(raws: Sequence[bytes]) -> bytes:
    diff_ids = [f"sha256:{hashlib.sha256(raw).hexdigest()}" for raw in raws]
    return json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()


ONE = [tar_of([file("a", "A" * 1000)]), tar_of([file("b", "B" * 100_000)])]
OTHER = [tar_of([file("a", "X" * 1000)]), tar_of([file("b", "Y" * 100_000)])]


@pytest.mark.parametrize("how", ["written to", "replaced"])
@pytest.mark.parametrize("place", ["archive", "layout"])
def test_a_file_of_somebody_else_that_changes_after_it_was_checked(tmp_path: Path, place: str, how: str) -> None:
    """As by a second `docker save -o` of the same name."""
    if place == "archive":
        changing = tmp_path / "image.tar"
        archive(changing, ONE, config_of(ONE))
        os.utime(changing, (1, 1))  # the clock of files has steps, and this is quick
        image = open_archive(changing, tmp_path, name="image", limits=Limits(), check=lambda: None)
        archive(tmp_path / "new", OTHER, config_of(ONE))
    else:
        layout, config = OciLayout.create(tmp_path / "oci"), config_of(ONE)
        digests = [layout.add_blob(raw) for raw in ONE]
        layers = [
            Descriptor(media_type=MediaType.OCI_LAYER, digest=digest, size=len(raw))
            for digest, raw in zip(digests, ONE, strict=True)
        ]
        told = Descriptor(media_type=MediaType.OCI_CONFIG, digest=layout.add_blob(config), size=len(config))
        layout.put_manifest(ImageManifest.create(config=told, layers=layers), "x")
        changing = layout.blob_path(digests[1])
        os.utime(changing, (1, 1))
        image = open_layout(layout.path, tmp_path, name="image", limits=Limits(), check=lambda: None)
        (tmp_path / "new").write_bytes(OTHER[1])
    if how == "replaced":
        (tmp_path / "new").replace(changing)
    else:
        changing.write_bytes((tmp_path / "new").read_bytes())
    with pytest.raises(SquashError) as caught:
        squash_opened(image, mode=SquashMode.ALL, base=None, layout=tmp_path / "layout", blobs=tmp_path / "blobs")
    assert caught.value.code == "layer-changed"
    assert not (tmp_path / "layout").exists()

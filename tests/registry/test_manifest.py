"""Manifests and indexes that hold other things than they should."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import Descriptor, ImageManifest, LayoutError, MediaType, OciLayout
from registry.layout import REF_NAME
from registry.manifest import LARGEST_MANIFEST, parse_manifest

DIGEST = "sha256:" + "a" * 64
ENTRY = {"mediaType": MediaType.OCI_MANIFEST, "digest": DIGEST, "size": 5}
DEEP = b"[" * 5000 + b"]" * 5000
WRONG = [
    {"annotations": {REF_NAME: 7}},
    {"annotations": {REF_NAME: ["a"]}},
    {"annotations": [["a", "b"]]},
    {"annotations": 7},
    {"platform": 7},
    {"size": float("inf")},
    {"size": -1},
    {"digest": "sha256:../x"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_an_entry_that_is_none(wrong: dict[str, object]) -> None:
    raw = json.dumps({"mediaType": MediaType.OCI_INDEX, "manifests": [ENTRY | wrong]}).encode()
    with pytest.raises(LayoutError) as caught:
        parse_manifest(raw, "")
    assert caught.value.code == "manifest-invalid"


@pytest.mark.parametrize("kind", [MediaType.OCI_INDEX, MediaType.OCI_MANIFEST])
def test_annotations_that_are_no_texts(kind: MediaType) -> None:
    parts = {"manifests": []} if kind is MediaType.OCI_INDEX else {"config": ENTRY, "layers": []}
    for wrong in (7, {"a": 7}, ["a"]):
        with pytest.raises(LayoutError) as caught:
            parse_manifest(json.dumps({"mediaType": kind, **parts, "annotations": wrong}).encode(), "")
        assert caught.value.code == "manifest-invalid"


@pytest.mark.parametrize(
    "act",
    [
        lambda layout: OciLayout.open(layout.path),
        lambda layout: layout.names(),
        lambda layout: layout.manifest_descriptor(),
        lambda layout: layout.put(b"{}", MediaType.OCI_MANIFEST, "new"),
        lambda layout: layout.referrers(DIGEST),
        lambda layout: layout.remove("x"),
    ],
    ids=["open", "names", "find", "put", "referrers", "remove"],
)
def test_a_layout_whose_index_is_none(tmp_path: Path, act: Callable[[OciLayout], object]) -> None:
    layout = OciLayout.create(tmp_path)
    wrongs = [json.dumps({"manifests": [ENTRY | wrong]}).encode() for wrong in WRONG]
    for raw in (*wrongs, b"7", b'{"manifests": [7]}', b'{"manifests": ' + DEEP + b"}"):
        (tmp_path / "index.json").write_bytes(raw)
        with pytest.raises(LayoutError):
            act(layout)
        assert (tmp_path / "index.json").read_bytes() == raw


NO_MANIFESTS: list[tuple[bytes, str]] = [
    (b"<html>", ""),
    (DEEP, MediaType.OCI_MANIFEST),
    (b"{}", MediaType.OCI_MANIFEST),
    (b"{}", MediaType.OCI_INDEX),
    (b'{"manifests":[],"layers":[]}', MediaType.OCI_INDEX),
    (json.dumps({"mediaType": MediaType.OCI_INDEX}).encode(), MediaType.OCI_MANIFEST),
    *((json.dumps({"manifests": [ENTRY | wrong]}).encode(), MediaType.OCI_INDEX) for wrong in WRONG),
]


@pytest.mark.parametrize(("raw", "media_type"), NO_MANIFESTS, ids=lambda value: str(value[:40]))
def test_what_is_no_manifest_has_a_hint(raw: bytes, media_type: str) -> None:
    with pytest.raises(LayoutError) as caught:
        parse_manifest(raw, media_type)
    assert caught.value.code == "manifest-invalid"
    assert caught.value.hint


@pytest.fixture
def layout(tmp_path: Path) -> OciLayout:
    """One that has an image, whose manifest and configuration can be replaced by something else."""
    layout = OciLayout.create(tmp_path)
    config = Descriptor(media_type=MediaType.OCI_CONFIG, digest=layout.add_blob(b'{"os":"linux"}'), size=14)
    layout.put_manifest(ImageManifest.create(config=config, layers=[]), "it")
    return layout


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def huge(path: Path) -> None:
    os.truncate(path, 4 << 30)


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize("damage", [Path.unlink, fifo, folder, huge, longer])
@pytest.mark.parametrize("which", ["manifest", "configuration", "index"])
def test_files_of_a_layout_that_are_none(layout: OciLayout, which: str, damage: Callable[[Path], None]) -> None:
    found = layout.manifest("it")
    places = {"manifest": found.digest, "configuration": found.config.digest}
    path = layout.blob_path(places[which]) if which in places else layout.path / "index.json"
    damage(path)
    tracemalloc.start()
    try:
        if (which, damage) == ("index", longer):
            layout.config("it")
            return
        with pytest.raises(LayoutError) as caught:
            layout.config("it")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code in ("layout-damaged", "size-mismatch", "manifest-too-large")
    assert caught.value.hint
    assert peak < 1 << 20


def test_a_manifest_larger_than_any_is_not_read(layout: OciLayout) -> None:
    path = layout.path / "blobs" / "sha256" / ("b" * 64)
    path.touch()
    os.truncate(path, LARGEST_MANIFEST + 1)
    entry = Descriptor(media_type=MediaType.OCI_MANIFEST, digest=f"sha256:{'b' * 64}", size=LARGEST_MANIFEST + 1)
    with pytest.raises(LayoutError) as caught:
        layout.raw_manifest(entry)
    assert (caught.value.code, bool(caught.value.hint)) == ("manifest-too-large", True)

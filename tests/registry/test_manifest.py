"""Manifests and indexes that hold other things than they should."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from registry import LayoutError, MediaType, OciLayout
from registry.layout import REF_NAME
from registry.manifest import parse_manifest

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

"""OCI layouts on disk: damage is named, writing is atomic and repeatable."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from registry.errors import LayoutError
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType, digest_of


def fill(layout: OciLayout, content: bytes = b"layer") -> ImageManifest:
    config = layout.add_blob(b'{"os":"linux"}')
    layer = layout.add_blob(content)
    return ImageManifest.create(
        config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=config, size=14),
        layers=[Descriptor(media_type=MediaType.OCI_LAYER, digest=layer, size=len(content))],
    )


def damage(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_open_refuses_a_folder_that_is_no_layout(tmp_path: Path) -> None:
    with pytest.raises(LayoutError) as caught:
        OciLayout.open(tmp_path)
    assert caught.value.code == "layout-missing"


@pytest.mark.parametrize(
    ("name", "content", "part_of_message"),
    [
        ("oci-layout", b"", "not JSON"),
        ("oci-layout", b'{"imageLayoutVersion":"9"}', "version is '9'"),
        ("index.json", b"[]", "not a JSON object"),
        ("index.json", b"{}", "no list of manifests"),
        ("index.json", b'{"manifests":[{"digest":"x"}]}', "mediaType"),
    ],
)
def test_open_names_the_damage(tmp_path: Path, name: str, content: bytes, part_of_message: str) -> None:
    OciLayout.create(tmp_path)
    damage(tmp_path / name, content)
    with pytest.raises(LayoutError) as caught:
        OciLayout.open(tmp_path)
    assert caught.value.code == "layout-damaged"
    assert part_of_message in caught.value.message


def test_a_manifest_whose_blob_is_missing_is_refused(tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path)
    manifest = fill(layout)
    layout.blob_path(manifest.layers[0].digest).unlink()
    with pytest.raises(LayoutError) as caught:
        layout.put_manifest(manifest, "v1")
    assert caught.value.code == "blob-missing"
    with pytest.raises(LayoutError) as empty:
        layout.manifest_descriptor()
    assert empty.value.code == "manifest-missing"


@pytest.mark.parametrize("content", [b"other", b"longer than before", b""])
def test_verify_finds_a_changed_blob(tmp_path: Path, content: bytes) -> None:
    layout = OciLayout.create(tmp_path)
    manifest = fill(layout)
    layout.put_manifest(manifest, "v1")
    layout.verify()
    damage(layout.blob_path(manifest.layers[0].digest), content)
    with pytest.raises(LayoutError) as caught:
        layout.verify()
    assert caught.value.code == "layout-damaged"
    assert manifest.layers[0].digest in caught.value.message


def test_verify_finds_a_missing_blob_and_a_changed_manifest(tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path)
    manifest = fill(layout)
    layout.put_manifest(manifest, "v1")
    layout.blob_path(manifest.config.digest).unlink()
    with pytest.raises(LayoutError, match="cannot be read"):
        layout.verify()
    damage(layout.blob_path(manifest.digest), manifest.raw + b" ")
    with pytest.raises(LayoutError, match="other content"):
        layout.manifest()


@pytest.mark.parametrize("digest", ["sha256:../../../etc/passwd", "x", "", "sha256:" + "A" * 64])
def test_a_path_is_made_of_digests_only(tmp_path: Path, digest: str) -> None:
    layout = OciLayout.create(tmp_path)
    with pytest.raises(LayoutError):
        layout.blob_path(digest)


def test_a_name_is_replaced_and_others_stay(tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path)
    first, second = fill(layout, b"one"), fill(layout, b"two")
    layout.put_manifest(first, "v1")
    layout.put_manifest(second, "v1")
    assert layout.manifest().digest == second.digest
    layout.put_manifest(first, "v0")
    with pytest.raises(LayoutError) as caught:
        layout.manifest()
    assert caught.value.code == "manifest-ambiguous"
    assert layout.manifest("v0").digest == first.digest
    assert layout.config("v0") == {"os": "linux"}


def test_create_keeps_what_is_there(tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path)
    layout.put_manifest(fill(layout), "v1")
    again = OciLayout.create(tmp_path)
    assert again.manifest("v1").digest == layout.manifest("v1").digest


def test_link_blob_shares_the_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    layout = OciLayout.create(tmp_path / "layout")
    digest = digest_of(b"content")
    target = layout.link_blob(source, digest)
    assert target.stat().st_ino == source.stat().st_ino
    assert layout.link_blob(source, digest) == target
    assert layout.has_blob(digest)


def test_link_blob_copies_where_it_cannot_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    source = tmp_path / "source"
    source.write_bytes(b"content")
    layout = OciLayout.create(tmp_path / "layout")
    target = layout.link_blob(source, digest_of(b"content"))
    assert target.read_bytes() == b"content"
    assert target.stat().st_ino != source.stat().st_ino


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path / "layout")
    with pytest.raises(LayoutError) as caught:
        layout.link_blob(tmp_path / "nowhere", digest_of(b"x"))
    assert caught.value.code == "blob-missing"


def test_nothing_temporary_stays_and_the_index_is_oci(tmp_path: Path) -> None:
    layout = OciLayout.create(tmp_path)
    layout.put_manifest(fill(layout), "v1")
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".new-")]
    index = json.loads((tmp_path / "index.json").read_bytes())
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "v1"}

"""Descriptors and manifests: refused when malformed, deterministic when made, byte-exact when kept."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from registry.errors import RegistryError
from registry.manifest import Descriptor, ImageManifest, MediaType, digest_of

CONFIG = Descriptor(media_type=MediaType.OCI_CONFIG, digest=digest_of(b"{}"), size=2)
LAYER = Descriptor(media_type=MediaType.OCI_LAYER_GZIP, digest=digest_of(b"layer"), size=5)


def document(**changes: Any) -> bytes:
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": CONFIG.to_dict(),
        "layers": [LAYER.to_dict()],
    }
    value.update(changes)
    return json.dumps({key: item for key, item in value.items() if item is not None}).encode()


@pytest.mark.parametrize(
    ("raw", "code", "part_of_message"),
    [
        (b"", "invalid-manifest", "not JSON"),
        (b"\xff", "invalid-manifest", "not JSON"),
        (b"[" * 100_000, "invalid-manifest", "not JSON"),
        (b"[]", "invalid-manifest", "got list"),
        (document(mediaType="text/plain"), "invalid-manifest", "'text/plain'"),
        (document(schemaVersion=1), "invalid-manifest", "schemaVersion is 1"),
        (document(layers="x"), "invalid-manifest", "no list of layers"),
        (document(config=None), "invalid-manifest", "got NoneType"),
        (document(layers=[{"mediaType": "x"}]), "invalid-manifest", "digest None"),
        (document(layers=[LAYER.to_dict() | {"size": -1}]), "invalid-manifest", "size -1"),
        (document(layers=[LAYER.to_dict() | {"size": True}]), "invalid-manifest", "size True"),
        (document(layers=[LAYER.to_dict() | {"digest": "sha256:../../x"}]), "invalid-manifest", "../.."),
        (document(annotations={"a": 1}), "invalid-manifest", "map of strings"),
        (document(mediaType=str(MediaType.OCI_INDEX), manifests=[]), "manifest-is-index", "index"),
        (document(mediaType=None, config=None, manifests=[]), "manifest-is-index", "index"),
    ],
)
def test_refuses_what_is_no_image_manifest(raw: bytes, code: str, part_of_message: str) -> None:
    with pytest.raises(RegistryError) as caught:
        ImageManifest.parse(raw)
    assert caught.value.code == code
    assert part_of_message in caught.value.message


def test_parse_keeps_the_bytes() -> None:
    raw = b"  " + document() + b"\n"
    manifest = ImageManifest.parse(raw)
    assert manifest.raw == raw
    assert manifest.digest == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert (manifest.config, manifest.layers) == (CONFIG, (LAYER,))
    assert manifest.descriptor.size == len(raw)


def test_a_docker_manifest_parses() -> None:
    manifest = ImageManifest.parse(document(mediaType=str(MediaType.DOCKER_MANIFEST)))
    assert manifest.media_type == MediaType.DOCKER_MANIFEST


def test_create_gives_the_same_bytes_for_the_same_image() -> None:
    one = ImageManifest.create(config=CONFIG, layers=[LAYER], annotations={"b": "2", "a": "1"})
    two = ImageManifest.create(config=CONFIG, layers=(LAYER,), annotations={"a": "1", "b": "2"})
    assert one.raw == two.raw
    assert one == ImageManifest.parse(one.raw)
    assert one.annotations == {"a": "1", "b": "2"}


def test_a_layer_named_twice_is_one_blob() -> None:
    manifest = ImageManifest.create(config=CONFIG, layers=[LAYER, LAYER])
    assert manifest.blobs == (CONFIG, LAYER)
    assert len(manifest.layers) == 2


def test_a_descriptor_keeps_fields_it_does_not_know() -> None:
    extra = {"urls": ["https://example.org/x"], "platform": {"os": "linux"}, "annotations": {"k": "v"}}
    value = LAYER.to_dict() | extra
    assert Descriptor.from_dict(value).to_dict() == value

"""The images of a backup, out of one registry and into another; real ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageforge.backup.images import Image, collect, collect_attached, put_back
from registry import ImageRef, LayoutSource, RegistryClient, RegistrySink, attach, attached, copy, fallback_tag
from tests.plain_registry import plain_registry
from tests.ports import unused_port
from tests.registry.conftest import Maker, make
from tests.registry.test_referrers import BILL, LINT, document

__all__ = ["make"]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[RegistryClient]:
    folder.mkdir()
    with plain_registry(folder, unused_port()) as address, RegistryClient(address) as client:
        yield client


def fetched(images: tuple[Image, ...], client: RegistryClient, folder: Path) -> Path:
    folder.mkdir()
    for image in images:
        for digest in image.blobs:
            with (folder / digest.removeprefix("sha256:")).open("wb") as file:
                client.fetch_blob(image.repository, digest, file)
    return folder


@pytest.fixture
def pushed(make: Maker, tmp_path: Path) -> Iterator[tuple[RegistryClient, str]]:
    """A registry with an image that has two documents, and its digest."""
    with running(tmp_path / "one") as client:
        image = make.image(b"layer")
        make.layout.put_manifest(image)
        reference = ImageRef.parse(f"{client.registry}/app:b1")
        copy(LayoutSource(layout=make.layout), RegistrySink(client=client, reference=reference))
        attach(client, "app", make.descriptor(image), [document(LINT, 1), document(BILL, 2)])
        yield client, image.digest


def test_what_is_attached_comes_back_with_its_image(pushed: tuple[RegistryClient, str], tmp_path: Path) -> None:
    one, digest = pushed
    images, missing = collect([f"{one.registry}/app@{digest}"], one)
    everything = (*images, *collect_attached(images, one))
    assert (len(images), len(everything), missing) == (1, 4, ())
    # As a backup has it.
    kept = [Image.from_json({field: getattr(image, field) for field in Image.__slots__}) for image in everything]
    blobs = fetched(everything, one, tmp_path / "blobs")
    with running(tmp_path / "two") as two:
        put_back(kept, blobs, two)
        assert attached(two, "app", digest) == attached(one, "app", digest)
        assert two.manifest_digest("app", fallback_tag(digest)) == one.manifest_digest("app", fallback_tag(digest))


def test_documents_that_are_gone_keep_no_image_from_its_backup(pushed: tuple[RegistryClient, str]) -> None:
    client, digest = pushed
    (first, _) = attached(client, "app", digest)
    client.delete_manifest("app", first.digest)
    images, _ = collect([f"{client.registry}/app@{digest}"], client)
    assert len(images) == 1
    assert collect_attached(images, client) == ()


def test_a_backup_of_before_has_no_word_of_what_is_attached() -> None:
    image = Image.from_json(
        {"repository": "app", "digest": "sha256:0", "media_type": "m", "manifest": "{}", "blobs": ["sha256:1"]}
    )
    assert (image.attached, image.tag) == (False, None)


@pytest.mark.parametrize("more", [b'"\xff"', b"[" * 5000 + b"]" * 5000], ids=["no text", "deep"])
def test_a_list_that_cannot_be_read_keeps_no_image_from_its_backup(
    pushed: tuple[RegistryClient, str], more: bytes
) -> None:
    client, digest = pushed
    raw = client.get_manifest("app", fallback_tag(digest)).raw
    raw = raw.replace(b'"schemaVersion"', b'"x":' + more + b',"schemaVersion"')
    client.put_manifest("app", fallback_tag(digest), raw, "application/vnd.oci.image.index.v1+json")
    images, _ = collect([f"{client.registry}/app@{digest}"], client)
    assert collect_attached(images, client) == ()

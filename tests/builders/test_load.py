"""Loading: only what the engine lacks is sent, and what comes out is what went in."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from importlib import import_module
from pathlib import Path

import docker
import pytest

from builders import Endpoint, EngineError, SquashedImage, SquashMode, load, remove_tag, squash
from builders.load import archive
from builders.squash.blobs import plain_sizes
from registry.errors import LayoutError
from registry.layout import OciLayout
from tests.builders.ran import printed

from .conftest import BASE, Builder

pytestmark = pytest.mark.engine


@pytest.fixture
def squashed(tmp_path: Path, build_image: Builder, endpoint: Endpoint) -> SquashedImage:
    image = build_image(f"FROM {BASE}\nRUN echo {os.urandom(8).hex()} > /one\nRUN echo two > /two\n")
    return squash(
        image,
        endpoint=endpoint,
        base_image=BASE,
        mode=SquashMode.FROM_BASE,
        layout=tmp_path / "layout",
        blobs=tmp_path / "blobs",
        scratch=tmp_path / "scratch",
    )


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


def test_a_layout_that_is_missing(tmp_path: Path, endpoint: Endpoint) -> None:
    with pytest.raises(LayoutError):
        load(tmp_path / "none", endpoint=endpoint, tag=None)


def test_a_damaged_blob_makes_no_image(squashed: SquashedImage, endpoint: Endpoint, instance: str) -> None:
    layout = OciLayout.open(squashed.layout)
    blob = layout.blob_path(layout.manifest().layers[-1].digest)
    raw = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(raw[:20] + bytes(len(raw) - 20))
    with pytest.raises(EngineError) as caught:
        load(squashed.layout, endpoint=endpoint, tag=f"imageforge-test/{instance}:damaged")
    assert caught.value.code == "engine-refused"


def test_only_the_new_layer_is_sent(
    squashed: SquashedImage, endpoint: Endpoint, docker_client: docker.DockerClient, instance: str
) -> None:
    layout = OciLayout.open(squashed.layout)
    sent = names(b"".join(archive(layout, layout.manifest(), None, skip=1)))
    assert len([name for name in sent if name.endswith("layer.tar")]) == 1
    tag = f"imageforge-test/{instance}:loaded"
    assert load(squashed.layout, endpoint=endpoint, tag=tag) == squashed.image_id
    assert printed(docker_client, tag, instance, ["cat", "/two"]) == b"two\n"


def test_what_the_store_has_packed_goes_plain_and_what_it_is_wrong_about_as_it_is(
    squashed: SquashedImage, endpoint: Endpoint, tmp_path: Path
) -> None:
    layout = OciLayout.open(squashed.layout)
    diff_ids = layout.config()["rootfs"]["diff_ids"]
    sizes = plain_sizes(tmp_path / "blobs", diff_ids)
    assert sizes.keys() == set(diff_ids)
    given = [sizes[diff_id] for diff_id in diff_ids]
    with tarfile.open(
        fileobj=io.BytesIO(b"".join(archive(layout, layout.manifest(), None, skip=1, sizes=given)))
    ) as tar:
        (layer,) = (entry for entry in tar if entry.name.endswith("layer.tar"))
        content = tar.extractfile(layer)
        assert content is not None
        assert f"sha256:{hashlib.sha256(content.read()).hexdigest()}" == diff_ids[-1]
    assert load(squashed.layout, endpoint=endpoint, tag=None, blobs=tmp_path / "blobs") == squashed.image_id
    assert remove_tag(endpoint, squashed.image_id)
    for wrong in (-1, 1, 1 << 30):
        for note in (tmp_path / "blobs").glob(f"*/{diff_ids[-1].removeprefix('sha256:')}"):
            known = json.loads(note.read_text())
            note.write_text(json.dumps({**known, "uncompressed": given[-1] + wrong}))
        assert load(squashed.layout, endpoint=endpoint, tag=None, blobs=tmp_path / "blobs") == squashed.image_id
        assert remove_tag(endpoint, squashed.image_id)


def test_loading_twice_and_without_a_tag(squashed: SquashedImage, endpoint: Endpoint, instance: str) -> None:
    assert load(squashed.layout, endpoint=endpoint, tag=None) == squashed.image_id
    tag = f"imageforge-test/{instance}:again"
    assert load(squashed.layout, endpoint=endpoint, tag=tag) == squashed.image_id
    assert remove_tag(endpoint, tag)


def test_an_engine_that_lacks_a_layer_after_all_is_sent_everything(
    squashed: SquashedImage, endpoint: Endpoint, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("builders.load"), "_layers_present", lambda *_: 2)
    tag = f"imageforge-test/{instance}:all"
    assert load(squashed.layout, endpoint=endpoint, tag=tag) == squashed.image_id

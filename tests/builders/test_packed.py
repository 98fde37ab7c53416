"""Blobs of many members, of every compression, in the engine: loaded, pushed and pulled, read back byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
from pathlib import Path

import docker
import docker.errors
import pytest

from builders import Compression, Endpoint, engine_facts, load
from builders.squash.blobs import BlobStore
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType
from registry.push import push
from registry.reference import ImageRef
from tests.builders.squash.test_pack import FILES, archive, mixed
from tests.registry.conftest import registry_address

pytestmark = pytest.mark.engine
__all__ = ["registry_address"]


def image(folder: Path, compression: Compression) -> tuple[Path, dict[str, str]]:
    """A layout with an image of two layers, and the sha256 of each file."""
    more = [(f"small{number}", mixed(3000, number)) for number in range(400)]
    made, files = OciLayout.create(folder / "layout"), [*FILES, *more, (compression, compression.encode())]
    store = BlobStore(folder / "blobs", compression=compression)
    blobs = [store.pack([archive(part)[0]], lambda: None) for part in (files[:4], files[4:])]
    for blob in blobs:
        made.link_blob(blob.path, blob.digest)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/none"]},
        "rootfs": {"type": "layers", "diff_ids": [blob.diff_id for blob in blobs]},
    }
    raw = json.dumps(config).encode()
    made.put_manifest(
        ImageManifest.create(
            config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=made.add_blob(raw), size=len(raw)),
            layers=[Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size) for blob in blobs],
        ),
        "image",
    )
    return made.path, {name: hashlib.sha256(data).hexdigest() for name, data in files}


def contents(client: docker.DockerClient, name: str, instance: str) -> dict[str, str]:
    """The sha256 of each file in the image."""
    container = client.containers.create(name, labels={"io.imageforge.instance": instance})
    try:
        raw = b"".join(container.export())
    finally:
        container.remove(force=True)
    with tarfile.open(fileobj=io.BytesIO(raw)) as exported:
        return {
            entry.name: hashlib.sha256(exported.extractfile(entry).read()).hexdigest()  # type: ignore[union-attr]
            for entry in exported
            if entry.isreg() and "/" not in entry.name and entry.name != ".dockerenv"
        }


@pytest.mark.parametrize("compression", [Compression.BALANCED, Compression.SMALL, Compression.ZSTD])
def test_the_engine_loads_and_pulls_what_is_packed(
    tmp_path: Path,
    endpoint: Endpoint,
    docker_client: docker.DockerClient,
    registry_address: str,
    instance: str,
    compression: Compression,
) -> None:
    layout, files = image(tmp_path, compression)
    loaded = f"imageforge-test/{instance}:packed"
    pulled = ImageRef.parse(f"{registry_address}/packed:{compression}")
    try:
        identity = load(layout, endpoint=endpoint, tag=loaded)
        assert contents(docker_client, loaded, instance) == files
        push(layout, pulled)
        docker_client.images.remove(identity, force=True)
        if compression is Compression.ZSTD and not engine_facts(endpoint).reads_zstd:
            # What the setting of that name is refused for, here as elsewhere.
            with pytest.raises(docker.errors.APIError):
                docker_client.images.pull(str(pulled))
            return
        assert docker_client.images.pull(str(pulled)).id == identity
        assert contents(docker_client, str(pulled), instance) == files
    finally:
        for name in (loaded, str(pulled)):
            with contextlib.suppress(docker.errors.ImageNotFound):
                docker_client.images.remove(name, force=True)

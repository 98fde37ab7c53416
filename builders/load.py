"""Give a squashed image back to the engine, with the layers only that it lacks."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builders.engine import has_image, inspect_image, load_archive, tag_image
from builders.errors import EngineError
from builders.locate import Endpoint
from registry.layout import OciLayout
from registry.manifest import ImageManifest

CHUNK = 1 << 20


def load(layout: Path, *, endpoint: Endpoint, tag: str | None, base_image: str | None = None) -> str:
    """Load the layout's image; gives its ID, which is its config's digest.

    The archive names every layer, but holds those alone that lie above the base the engine has: it never opens the
    others, because it knows them by their chain of diff-IDs. Raises EngineError (`load-refused`, `load-differs`).
    """
    opened = OciLayout.open(layout)
    manifest = opened.manifest()
    image_id = manifest.config.digest
    if not has_image(endpoint, image_id):
        diff_ids = tuple(opened.config()["rootfs"]["diff_ids"])
        known = _known_layers(endpoint, base_image, diff_ids)
        with tempfile.TemporaryFile() as archive:
            _write_archive(archive, opened, manifest, skip=known)
            archive.seek(0)
            load_archive(endpoint, _chunks(archive))
        if not has_image(endpoint, image_id):
            raise EngineError(
                "load-differs",
                image_id,
                "the engine took the image but knows it under another ID",
                hint="report this: it is a bug of imageforge",
            )
    if tag:
        tag_image(endpoint, image_id, tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest")
    return image_id


def _known_layers(endpoint: Endpoint, base_image: str | None, diff_ids: tuple[str, ...]) -> int:
    """How many layers from the bottom the engine has for sure: those of the base image."""
    if base_image is None or not has_image(endpoint, base_image):
        return 0
    base = inspect_image(endpoint, base_image).diff_ids
    return len(base) if diff_ids[: len(base)] == base else 0


def _write_archive(target: io.IOBase, layout: OciLayout, manifest: ImageManifest, *, skip: int) -> None:
    """The classic archive of `docker save`, which every engine reads: manifest.json, the config, the layers' tars."""
    config_name = f"{manifest.config.digest.removeprefix('sha256:')}.json"
    names = [
        f"{number:03d}-{layer.digest.removeprefix('sha256:')[:16]}/layer.tar"
        for number, layer in enumerate(manifest.layers)
    ]
    index = [{"Config": config_name, "RepoTags": None, "Layers": names}]
    with tarfile.open(fileobj=target, mode="w") as archive:
        _add_bytes(archive, config_name, layout.blob_path(manifest.config.digest).read_bytes())
        for name, layer in list(zip(names, manifest.layers, strict=True))[skip:]:
            # The engine wants the size before the bytes, and a compressed layer does not tell it.
            with tempfile.TemporaryFile() as plain, gzip.open(layout.blob_path(layer.digest)) as packed:
                shutil.copyfileobj(packed, plain, CHUNK)
                entry = tarfile.TarInfo(name)
                entry.size = plain.tell()
                plain.seek(0)
                archive.addfile(entry, plain)
        _add_bytes(archive, "manifest.json", json.dumps(index).encode())


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def _chunks(handle: io.IOBase) -> Iterator[bytes]:
    while chunk := handle.read(CHUNK):
        yield chunk

"""An image out of an OCI layout that holds it alone, nothing of it believed: digests, sizes, diff-IDs, compression."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from builders import gunzip, zstd
from builders.errors import ImageError
from builders.limits import Limits
from builders.opened.model import OpenedImage, require_sound
from builders.squash.blobs import Blob
from builders.squash.run import disk_full_named
from builders.squash.source import Layer, SourceImage, mark_of
from registry.layout import OciLayout
from registry.manifest import Descriptor, MediaType

Check = Callable[[], None]
_CHUNK = 1 << 20
_CONFIG_LIMIT = 64 << 20  # bytes
_GZIPPED = (MediaType.OCI_LAYER_GZIP, MediaType.DOCKER_LAYER_GZIP)
_ZSTD = (MediaType.OCI_LAYER_ZSTD, MediaType.DOCKER_LAYER_ZSTD)
_PLAIN = (MediaType.OCI_LAYER, MediaType.DOCKER_LAYER)


def open_layout(layout: Path, folder: Path, *, name: str, limits: Limits, check: Check) -> OpenedImage:
    """The only image of the layout, its layers uncompressed into `folder`; those that are not compressed stay.

    Raises ImageError: ``image-damaged``, ``blob-damaged``, ``layer-damaged``, ``wrong-diff-id``, ``layer-bomb``,
    ``image-too-large``, ``unsupported-media-type``; and LayoutError of registry.
    """
    with disk_full_named(folder):
        return _open(OciLayout.open(layout), folder, name, limits, check)


def _open(opened: OciLayout, folder: Path, name: str, limits: Limits, check: Check) -> OpenedImage:
    manifest = opened.manifest()
    if not 0 <= manifest.config.size <= _CONFIG_LIMIT:
        raise ImageError("image-damaged", name, f"its configuration claims {manifest.config.size} bytes")
    config_bytes = b"".join(_verified(opened, manifest.config, name))
    config = _object(config_bytes, name)
    require_sound(config, name)
    diff_ids = _diff_ids(config, name)
    if len(diff_ids) != len(manifest.layers):
        raise ImageError(
            "image-damaged",
            name,
            f"it has {len(manifest.layers)} layers, and its configuration names {len(diff_ids)}",
        )
    for number, found in enumerate(manifest.layers, 1):
        _refuse_unreadable(found, f"{name} layer {number}")
    layers: list[Layer] = []
    blobs: dict[str, Blob] = {}
    for number, (blob, diff_id) in enumerate(zip(manifest.layers, diff_ids, strict=True)):
        unpacking = _Unpacking(limits, sum(layer.size for layer in layers), f"{name} layer {number + 1}", check)
        layer = unpacking.run(opened, blob, diff_id, folder / f"layer-{number}")
        layers.append(layer)
        if blob.media_type not in _PLAIN:
            blobs[diff_id] = Blob(
                path=opened.blob_path(blob.digest),
                digest=blob.digest,
                size=blob.size,
                diff_id=diff_id,
                uncompressed=layer.size,
                media_type=MediaType.OCI_LAYER_ZSTD if blob.media_type in _ZSTD else MediaType.OCI_LAYER_GZIP,
            )
    source = SourceImage(config_bytes=config_bytes, config=config, layers=tuple(layers))
    return OpenedImage(name=name, source=source, blobs=blobs, manifest=manifest)


class _Unpacking:
    """One layer: out of its blob, into a file, within limits."""

    def __init__(self, limits: Limits, before: int, subject: str, check: Check) -> None:
        self._limits = limits
        self._before = before
        self._subject = subject
        self._check = check
        self._packed = 0

    def run(self, layout: OciLayout, descriptor: Descriptor, diff_id: str, target: Path) -> Layer:
        """The layer in `target`; where it lies, if it is not compressed."""
        digest, size = hashlib.sha256(), 0
        plain = descriptor.media_type in _PLAIN
        there = layout.blob_path(descriptor.digest)
        mark = mark_of(there) if plain and there.is_file() else None
        pieces = self._counted(_verified(layout, descriptor, self._subject))
        with contextlib.ExitStack() as opened:
            file = None if plain else opened.enter_context(target.open("wb"))
            for piece in self._unpacked(pieces, descriptor.media_type):
                size += len(piece)
                packed = size if plain else self._packed
                self._limits.check_expanded(size, packed, before=self._before, subject=self._subject)
                digest.update(piece)
                if file is not None:
                    file.write(piece)
        found = f"sha256:{digest.hexdigest()}"
        if found != diff_id:
            raise ImageError(
                "wrong-diff-id",
                self._subject,
                f"its content is {found}, and the image's configuration says {diff_id}",
                hint="the image's maker paired layers and configuration wrongly: have it built or saved anew",
            )
        return Layer(path=there if plain else target, diff_id=diff_id, size=size, lent=mark)

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._check()
            self._packed += len(piece)
            yield piece

    def _unpacked(self, pieces: Iterator[bytes], media_type: str) -> Iterator[bytes]:
        if media_type in _GZIPPED:
            return self._inflated(pieces)
        return self._unzstd(pieces) if media_type in _ZSTD else pieces

    def _unzstd(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from zstd.unpack(pieces)
        except (zstd.ZstdError, EOFError) as error:
            raise ImageError("layer-damaged", self._subject, f"its zstd stream cannot be read: {error}") from error

    def _inflated(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from gunzip.unpack(pieces)
        except gunzip.GzipError as error:
            raise ImageError("layer-damaged", self._subject, f"its gzip stream cannot be read: {error}") from error
        except EOFError as error:
            raise ImageError("layer-damaged", self._subject, "its gzip stream ends early") from error


def _verified(layout: OciLayout, descriptor: Descriptor, subject: str) -> Iterator[bytes]:
    """A blob's bytes; when the last one has come, they are known to be those of its digest and size."""
    digest, size, there = hashlib.sha256(), 0, layout.blob_path(descriptor.digest)
    if not there.is_file() or there.stat().st_size != descriptor.size:
        raise ImageError(
            "blob-damaged", subject, f"{descriptor.digest} is missing, or not {descriptor.size} bytes long"
        )
    with there.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            size += len(piece)
            yield piece
    if f"sha256:{digest.hexdigest()}" != descriptor.digest:
        found = f"sha256:{digest.hexdigest()}"
        raise ImageError("blob-damaged", subject, f"the bytes of {descriptor.digest} have the digest {found}")


def _refuse_unreadable(layer: Descriptor, subject: str) -> None:
    if layer.media_type not in (*_GZIPPED, *_ZSTD, *_PLAIN):
        raise ImageError("unsupported-media-type", subject, f"`{layer.media_type[:100]}` is no layer of files")


def _diff_ids(config: dict[str, Any], subject: str) -> list[str]:
    rootfs = config.get("rootfs")
    found = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if found is None:
        found = []
    if not isinstance(found, list) or not all(isinstance(diff_id, str) for diff_id in found):
        raise ImageError("image-damaged", subject, "what its configuration says of its layers is no list of digests")
    return found


def _object(raw: bytes, subject: str) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ImageError("image-damaged", subject, f"its configuration is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ImageError("image-damaged", subject, "its configuration is no JSON object")
    return found

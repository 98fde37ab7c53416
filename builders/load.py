"""Giving an image back to the engine, sending only the layers that it lacks."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from builders import gunzip, zstd
from builders.engine import Connection, Endpoint, connect
from builders.engine.connection import TRANSFER_TIMEOUT
from builders.engine.facts import facts_from
from builders.errors import EngineError, ImageError
from builders.squash.blobs import plain_sizes
from registry.layout import OciLayout
from registry.manifest import Descriptor, ImageManifest, MediaType

logger = logging.getLogger(__name__)
_CHUNK = 1 << 20


class _NotAsKnownError(Exception):
    """A layer is not what the store of layers says of it."""


def load(layout: Path, *, endpoint: Endpoint, tag: str | None, blobs: Path | None = None) -> str:
    """Loads the image at `layout` and returns its ID in the engine, under `tag` where one is given.

    The archive names all layers and holds those that no image of the engine begins with; an engine that has one of the
    others no more is sent everything. `blobs` is a folder of compressed layers: those that were packed there go plain,
    because their size is known; an engine takes them in a fifth faster than packed ones.

    Raises EngineError ``image-id-differs`` where the engine made another image of it than the layout's configuration
    says.
    """
    source = OciLayout.open(layout)
    manifest, config = source.manifest(), source.config()
    diff_ids: list[str] = config["rootfs"]["diff_ids"]
    with connect(endpoint, timeout=TRANSFER_TIMEOUT) as engine:
        facts = facts_from(engine.version(), engine.info())
        # The containerd store keeps compressed blobs, and has no use for an archive without them.
        present = 0 if facts.containerd_store else _layers_present(engine, diff_ids)
        known = {} if facts.containerd_store or blobs is None else plain_sizes(blobs, diff_ids)
        sizes = [known.get(diff_id) for diff_id in diff_ids]
        try:
            engine.load(archive(source, manifest, tag, skip=present, sizes=sizes), str(layout))
        except _NotAsKnownError as error:
            # What is wrong with it, the engine will say.
            logger.debug("%s, sending layers as they are", error)
            engine.load(archive(source, manifest, tag, skip=present), str(layout))
        except EngineError as error:
            if not present or error.code != "engine-refused":
                raise
            logger.debug("partial load refused (%s), sending every layer", error.message)
            engine.load(archive(source, manifest, tag, skip=0), str(layout))
        return _verified(engine, manifest, diff_ids, tag, containerd=facts.containerd_store)


def _verified(
    engine: Connection, manifest: ImageManifest, diff_ids: list[str], tag: str | None, *, containerd: bool
) -> str:
    wanted = manifest.config.digest
    found = engine.inspect_image(tag or wanted)
    identity = str(found["Id"])
    # In the containerd store an image's ID is its manifest's digest, so there the layers must do.
    same = list((found.get("RootFS") or {}).get("Layers") or []) == diff_ids if containerd else identity == wanted
    if not same:
        raise EngineError("image-id-differs", tag or wanted, f"the engine made {identity} of the image {wanted}")
    return identity


def _layers_present(engine: Connection, diff_ids: list[str]) -> int:
    """How many layers from the bottom up some image of the engine shares."""
    most = 0
    for image in engine.list_images():
        try:
            layers = (engine.inspect_image(str(image["Id"])).get("RootFS") or {}).get("Layers") or []
        except EngineError as error:
            if error.code != "image-missing":  # removed since it was listed
                raise
            continue
        shared = 0
        for ours, theirs in zip(diff_ids, layers, strict=False):
            if ours != theirs:
                break
            shared += 1
        most = max(most, shared)
    return most


def archive(
    layout: OciLayout, manifest: ImageManifest, tag: str | None, *, skip: int, sizes: Sequence[int | None] = ()
) -> Iterator[bytes]:
    """The tar that `docker load` reads, without the first `skip` layers. Layers go as they are, compressed; in zstd,
    which engines before 23 do not read, they go plain, and so do those whose `sizes`, unpacked, are given."""
    config_name = f"{_hexadecimal(manifest.config)}.json"
    names = [f"{_hexadecimal(layer)}/layer.tar" for layer in manifest.layers]
    index: list[dict[str, Any]] = [{"Config": config_name, "RepoTags": [tag] if tag else None, "Layers": names}]
    config = layout.blob_path(manifest.config.digest).read_bytes()
    yield from _entry(config_name, len(config), [config])
    sent: set[str] = set()
    given = [*sizes, *[None] * (len(names) - len(sizes))]
    for name, layer, size in list(zip(names, manifest.layers, given, strict=True))[skip:]:
        if name not in sent:
            sent.add(name)
            path = layout.blob_path(layer.digest)
            if layer.media_type in (MediaType.OCI_LAYER_ZSTD, MediaType.DOCKER_LAYER_ZSTD):
                yield from _plain(name, path)
            elif size is not None and layer.media_type in (MediaType.OCI_LAYER_GZIP, MediaType.DOCKER_LAYER_GZIP):
                yield from _entry(name, size, _unpacked(path, size))
            else:
                yield from _entry(name, layer.size, _pieces(path))
    document = json.dumps(index).encode()
    yield from _entry("manifest.json", len(document), [document])
    yield bytes(2 * tarfile.BLOCKSIZE)


def _plain(name: str, path: Path) -> Iterator[bytes]:
    """A layer unpacked: once to know its size, which stands before it, and once more."""
    try:
        yield from _entry(name, sum(len(piece) for piece in zstd.unpack_file(path)), zstd.unpack_file(path))
    except (zstd.ZstdError, EOFError) as error:
        raise ImageError("layer-damaged", path.name, f"its zstd stream cannot be read: {error}") from error


def _unpacked(path: Path, size: int) -> Iterator[bytes]:
    """A layer that unpacks to `size` bytes. Raises _NotAsKnownError where it does not, before one too many is given."""
    rest = size
    try:
        for piece in gunzip.unpack_file(path):
            rest -= len(piece)
            if rest < 0:
                break
            yield piece
    except (gunzip.GzipError, EOFError) as error:
        raise _NotAsKnownError(f"{path.name}: {error}") from error
    if rest:
        raise _NotAsKnownError(f"{path.name} does not unpack to {size} bytes")


def _entry(name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = size
    yield entry.tobuf(tarfile.PAX_FORMAT)
    yield from content
    yield bytes(-size % tarfile.BLOCKSIZE)


def _pieces(path: Path) -> Iterator[bytes]:
    with io.FileIO(path) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _hexadecimal(descriptor: Descriptor) -> str:
    return descriptor.digest.partition(":")[2]

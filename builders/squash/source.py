"""Where an image's layers come from: the engine's own folders where they can be read, else `docker save`.

Reading layers where they lie: overlay2 engines keep, for each layer, the list of tar fragments that tar-split made when
the layer came (image/overlay2/layerdb/sha256/CHAIN/tar-split.json.gz) and the files in the layer's folder; put together
they are the layer's tar, byte for byte. Its digest must equal the diff-ID, so a surprise is noticed and not believed.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from builders.engine import EngineFacts, save_image
from builders.errors import DiskFull, SquashError
from builders.locate import Endpoint

CHUNK = 1 << 20
ROOM = 1.2
"""Times an image's size that must be free before it is spooled: the archive, and a little for everybody else."""


class LayerSource(Protocol):
    """An image's layers, as tars."""

    def config(self) -> bytes:
        """The image's configuration, the very bytes that its ID is the digest of."""

    def chunks(self, index: int) -> Iterator[bytes]:
        """A layer's tar, counted from the bottom."""


class EngineStore:
    """The layers of an overlay2 engine on this machine, read from its folders."""

    def __init__(self, root: Path, image_id: str, diff_ids: Sequence[str]) -> None:
        self._store = root / "image" / "overlay2"
        self._overlay = root / "overlay2"
        self._image = image_id
        self._chains = chain_ids(diff_ids)

    def config(self) -> bytes:
        """See LayerSource. Raises OSError where it cannot be read."""
        data = (self._store / "imagedb" / "content" / "sha256" / self._image.removeprefix("sha256:")).read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != self._image:
            raise OSError(f"the configuration of {self._image} has other bytes than its ID says")
        return data

    def chunks(self, index: int) -> Iterator[bytes]:
        """See LayerSource. Raises OSError where it cannot be read."""
        folder = self._store / "layerdb" / "sha256" / self._chains[index].removeprefix("sha256:")
        files = self._overlay / (folder / "cache-id").read_text().strip() / "diff"
        with gzip.open(folder / "tar-split.json.gz", "rt", encoding="utf-8") as fragments:
            for line in fragments:
                fragment = json.loads(line)
                if fragment["type"] == 2:
                    yield base64.b64decode(fragment.get("payload") or "")
                elif fragment.get("size"):
                    yield from _file_chunks(os.fsencode(files) + b"/" + _name(fragment), int(fragment["size"]))


class SavedImage:
    """The layers in a `docker save` archive, of the classic and of the OCI kind, spooled to a file of our own."""

    def __init__(self, archive: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=archive, mode="r:")  # noqa: SIM115 - closed with its file
        self._manifest: dict[str, Any] = json.loads(self._read("manifest.json"))[0]

    def config(self) -> bytes:
        """See LayerSource."""
        return self._read(self._manifest["Config"])

    def chunks(self, index: int) -> Iterator[bytes]:
        """See LayerSource. Raises SquashError (`archive-damaged`)."""
        with self._open(self._manifest["Layers"][index]) as member:
            packed = member.read(2) == b"\x1f\x8b"
            member.seek(0)
            with gzip.open(member, "rb") if packed else contextlib.nullcontext(member) as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk

    def _read(self, name: str) -> bytes:
        with self._open(name) as member:
            return member.read()

    def _open(self, name: str) -> BinaryIO:
        try:
            # The classic kind stores a layer that stands twice in an image once, with a symbolic link beside it.
            member = self._tar.extractfile(name)
        except (KeyError, tarfile.TarError) as error:
            raise _damaged(f"{name} is missing") from error
        if member is None:
            raise _damaged(f"{name} is no file")
        return member  # type: ignore[return-value]


@contextlib.contextmanager
def open_source(
    image_id: str, diff_ids: Sequence[str], *, size: int, endpoint: Endpoint, facts: EngineFacts, scratch: Path
) -> Iterator[LayerSource]:
    """The quickest source that can be had. Raises EngineError, DiskFull, SquashError (`archive-damaged`)."""
    store = readable_store(image_id, diff_ids, endpoint=endpoint, facts=facts)
    if store is not None:
        yield store
        return
    require_room(scratch, int(size * ROOM))
    with tempfile.TemporaryFile(dir=scratch) as archive:
        for chunk in save_image(endpoint, image_id):
            archive.write(chunk)
        archive.seek(0)
        try:
            saved = SavedImage(archive)
        except tarfile.TarError as error:
            raise _damaged(str(error)) from error
        yield saved


def readable_store(
    image_id: str, diff_ids: Sequence[str], *, endpoint: Endpoint, facts: EngineFacts
) -> EngineStore | None:
    """The engine's folders, where it is on this machine, of the kind we know, and lets us read."""
    if endpoint.socket is None or facts.storage_driver != "overlay2" or facts.containerd_store or not diff_ids:
        return None
    store = EngineStore(Path(facts.root_dir), image_id, diff_ids)
    try:
        store.config()
        next(store.chunks(len(diff_ids) - 1), None)
    except (OSError, ValueError, KeyError):
        return None
    return store


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The ChainID of each layer (OCI image specification, "Layer ChainID")."""
    chains: list[str] = []
    for diff_id in diff_ids:
        chains.append(f"sha256:{hashlib.sha256(f'{chains[-1]} {diff_id}'.encode()).hexdigest()}" if chains else diff_id)
    return chains


def require_room(folder: Path, size: int) -> None:
    """Raises DiskFull (`disk-full`) unless so many bytes are free."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DiskFull(
            "disk-full",
            str(folder),
            f"{size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free",
            hint="make room there, or set IMAGEFORGE_HOME to a larger disk",
        )


def _file_chunks(path: bytes, size: int) -> Iterator[bytes]:
    with open(path, "rb") as handle:  # noqa: PTH123 - names are bytes
        left = size
        while left:
            chunk = handle.read(min(CHUNK, left))
            if not chunk:
                raise OSError(f"{path!r} is shorter than its layer says")
            left -= len(chunk)
            yield chunk


def _name(fragment: dict[str, Any]) -> bytes:
    raw = fragment.get("name_raw")
    name = base64.b64decode(raw) if raw else str(fragment["name"]).encode()
    if b".." in name.split(b"/"):
        raise OSError(f"a layer's file list leads out of it: {name!r}")
    return name


def _damaged(what: str) -> SquashError:
    return SquashError("archive-damaged", "docker save", what, hint="try again; then look at the engine's log")

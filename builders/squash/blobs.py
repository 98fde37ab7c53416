"""Compressed layers, each made once: found again by the diff-ID of what was compressed.

Under the folder: ``sha256/<digest>`` are the blobs, ``gzip-<level>/<diff-ID>`` say which blob a layer became. Both
appear by rename, so that builds may share the folder, and a build that dies leaves nothing that passes for a blob.

The codec is gzip because engines before 23.0 read no other. Its bytes are ISA-L's at a fixed level, fed in blocks of a
fixed size, with no time and no name in the header: the same layer gives the same blob however it is fed and on however
many cores.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from builders.squash.contents import plain
from builders.squash.source import Layer

LEVEL = 2  # of ISA-L's 0 to 3
FEED = 1 << 20  # bytes given to the compressor at a time; part of the output's identity
_GZIP_WINDOW = 31  # 15 bits of window and a gzip frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A compressed layer in `path`: `digest` and `size` are the blob's, `diff_id` and `uncompressed` the layer's."""

    path: Path
    digest: str
    size: int
    diff_id: str
    uncompressed: int


class BlobStore:
    """The blobs in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = folder / f"gzip-{LEVEL}"
        for needed in (folder / "sha256", self._index):
            needed.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self._folder

    def find(self, diff_id: str) -> Blob | None:
        """The blob of that layer, if it is whole by its size."""
        try:
            known = json.loads((self._index / _hexadecimal(diff_id)).read_bytes())
            path = self._folder / "sha256" / _hexadecimal(known["digest"])
            if path.stat().st_size != known["size"]:
                return None
            return Blob(path=path, diff_id=diff_id, **known)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def compress(self, layer: Layer, check: Callable[[], None]) -> Blob:
        """The blob of an uncompressed layer, made now if there is none. `check` is called between blocks, and may
        raise. Raises SquashError ``layer-changed`` where the layer's bytes are not those of its diff-ID, and OSError
        where they are gone."""
        known = self.find(layer.diff_id)
        if known is not None:
            return known
        with self.writer(layer=layer) as writer:
            for chunk in plain(layer.pieces()):
                check()
                writer.write(chunk)
        return writer.blob

    def drop_damaged(self, digests: Iterable[str]) -> tuple[str, ...]:
        """Removes the blobs of these digests whose bytes have another one, so that they are made again; gives the
        digests of those."""
        damaged = []
        for digest in digests:
            path = self._folder / "sha256" / _hexadecimal(digest)
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                continue
            if found != path.name:
                path.unlink(missing_ok=True)
                damaged.append(digest)
        return tuple(damaged)

    @contextmanager
    def writer(
        self, *, layer: Layer | None = None, on_plain: Callable[[bytes], None] = lambda _: None
    ) -> Iterator[BlobWriter]:
        """A writer for a new layer; its `blob` is there when the block has ended well. If it is to be the blob of
        `layer`, its bytes must be that layer's. `on_plain` is given the bytes that are compressed, in their order."""
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                writer = BlobWriter(file, on_plain)
                yield writer
                writer.finish()
                if layer is not None:
                    layer.require(writer.diff_id)
                os.fchmod(descriptor, 0o644)
            writer.blob = self._keep(Path(name), writer)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()

    def _keep(self, written: Path, writer: BlobWriter) -> Blob:
        digest, diff_id = writer.digest, writer.diff_id
        path = self._folder / "sha256" / _hexadecimal(digest)
        written.replace(path)
        known = {"digest": digest, "size": writer.size, "uncompressed": writer.uncompressed}
        note = self._index / _hexadecimal(diff_id)
        fresh = note.with_name(f".new-{os.getpid()}-{note.name}")
        fresh.write_text(json.dumps(known))
        fresh.replace(note)
        return Blob(path=path, diff_id=diff_id, digest=digest, size=writer.size, uncompressed=writer.uncompressed)


class BlobWriter:
    """Bytes of a layer in, in pieces of any size; a compressed file and both digests out."""

    blob: Blob

    def __init__(self, file: BinaryIO, on_plain: Callable[[bytes], None] = lambda _: None) -> None:
        self._file = file
        self._on_plain = on_plain
        self._compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW)
        self._plain, self._packed = hashlib.sha256(), hashlib.sha256()
        self._waiting = bytearray()
        self.size = 0
        self.uncompressed = 0

    def write(self, piece: bytes) -> None:
        """Takes in the next bytes of the layer."""
        self.uncompressed += len(piece)
        if not self._waiting and len(piece) == FEED:
            self._feed(piece)
            return
        self._waiting += piece
        while len(self._waiting) >= FEED:
            self._feed(bytes(memoryview(self._waiting)[:FEED]))
            del self._waiting[:FEED]

    def finish(self) -> None:
        """Writes what is left. Called by the store."""
        if self._waiting:
            self._feed(bytes(self._waiting))
            self._waiting.clear()
        self._put(self._compressor.flush())

    @property
    def diff_id(self) -> str:
        """The digest of what was written."""
        return f"sha256:{self._plain.hexdigest()}"

    @property
    def digest(self) -> str:
        """The digest of the compressed file."""
        return f"sha256:{self._packed.hexdigest()}"

    def _feed(self, block: bytes) -> None:
        self._plain.update(block)
        self._on_plain(block)
        self._put(self._compressor.compress(block))

    def _put(self, packed: bytes) -> None:
        self._packed.update(packed)
        self.size += len(packed)
        self._file.write(packed)


def _hexadecimal(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    if algorithm != "sha256" or len(encoded) != 64 or not encoded.isalnum():
        raise ValueError(f"not a sha256 digest: {digest}")
    return encoded

"""Compressed layers, kept by digest and found by diff-ID: no layer is compressed twice.

gzip by ISA-L at level 2, in blocks of a fixed size, without a time in its header: equal bytes give equal bytes, on any
number of cores. The key carries the codec and its version, so that a change of either makes new blobs beside the old.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from isal import igzip, isal_zlib

from builders.errors import DiskFull, SquashError

CODEC = "gzip-isal2-v1"
LEVEL = 2
CHUNK = 1 << 20
GZIP_WINDOW = 31
"""zlib's way to ask for a gzip header with the largest window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBlob:
    """A compressed layer; `plain_size` is of the tar, both in bytes."""

    diff_id: str
    digest: str
    size: int
    plain_size: int
    path: Path


class BlobStore:
    """A folder of blobs. Several processes may use it at once: files appear whole, by a rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index = folder / CODEC
        self._index.mkdir(parents=True, exist_ok=True)

    def find(self, diff_id: str) -> LayerBlob | None:
        """The blob of a layer, if it was compressed before and is still whole."""
        try:
            raw = json.loads(self._entry(diff_id).read_text())
            path = self._blob(raw["digest"])
            if path.stat().st_size != raw["size"]:
                return None
        except (OSError, ValueError, KeyError):
            return None
        return LayerBlob(
            diff_id=diff_id, digest=raw["digest"], size=raw["size"], plain_size=raw["plain_size"], path=path
        )

    def add(self, chunks: Iterable[bytes], *, expected: str | None = None) -> LayerBlob:
        """Compress a tar that comes in pieces of any size. Raises SquashError (`layer-changed`) when its digest is not
        the expected diff-ID, DiskFull."""
        plain, packed = hashlib.sha256(), hashlib.sha256()
        compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP_WINDOW)
        plain_size = size = 0
        with self._temporary() as (handle, temporary):
            for block in blocks(chunks):
                plain.update(block)
                plain_size += len(block)
                size += _put(handle, packed, compressor.compress(block))
            size += _put(handle, packed, compressor.flush())
            handle.flush()
            os.fsync(handle.fileno())
            diff_id, digest = f"sha256:{plain.hexdigest()}", f"sha256:{packed.hexdigest()}"
            if expected not in (None, diff_id):
                raise SquashError(
                    "layer-changed",
                    str(expected),
                    f"the bytes that came have the digest {diff_id}",
                    hint="build it again",
                )
            path = self._blob(digest)
            temporary.replace(path)
        entry = self._entry(diff_id)
        draft = entry.with_name(f".{entry.name}.{os.getpid()}")
        draft.write_text(json.dumps({"digest": digest, "size": size, "plain_size": plain_size}))
        draft.replace(entry)
        return LayerBlob(diff_id=diff_id, digest=digest, size=size, plain_size=plain_size, path=path)

    @contextmanager
    def _temporary(self) -> Iterator[tuple[BinaryIO, Path]]:
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=self._folder)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as handle:
                yield handle, temporary
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull("disk-full", str(self._folder), "no space left", hint="make room there") from error
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def _blob(self, digest: str) -> Path:
        return self._folder / digest.removeprefix("sha256:")

    def _entry(self, diff_id: str) -> Path:
        return self._index / f"{diff_id.removeprefix('sha256:')}.json"


def open_blob(blob: LayerBlob) -> BinaryIO:
    """The tar inside a blob, as a stream."""
    return cast(BinaryIO, igzip.open(blob.path, "rb"))  # type: ignore[no-untyped-call]


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of CHUNK, the last one shorter: what the compressor sees must not depend on how the
    bytes came."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= CHUNK:
            yield bytes(pending[:CHUNK])
            del pending[:CHUNK]
    if pending:
        yield bytes(pending)


def _put(handle: BinaryIO, hasher: object, data: bytes) -> int:
    handle.write(data)
    hasher.update(data)  # type: ignore[attr-defined]
    return len(data)

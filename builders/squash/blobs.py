"""Compressed layers, each made once: found again by the diff-ID of what was compressed.

Under the folder: ``sha256/<digest>`` are the blobs, ``<codec's key>/<diff-ID>`` say which blob a layer became. Both
appear by rename, so that builds may share the folder, and a build that dies leaves nothing that passes for a blob.
``lists-1/<diff-ID>`` says by which of an engine's lists a layer was found right. ``members.sqlite`` says where in the
blobs the large files lie, so that another layer that has them copies them.

The codec is gzip, because engines before 23.0 read no other, unless zstd is asked for. The same layer gives the same
blob under the same key, however it is read and on however many cores.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builders.errors import SquashError
from builders.squash.codec import Compression, codec
from builders.squash.members import Members, forget
from builders.squash.pack import Packed, pack
from builders.squash.pieces import Piece
from builders.squash.source import Layer
from builders.squash.spare import UNFINISHED
from registry.manifest import MediaType

_LISTS = "lists-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A compressed layer in `path`: `digest`, `size` and `media_type` are the blob's, `diff_id` and `uncompressed` the
    layer's."""

    path: Path
    digest: str
    size: int
    diff_id: str
    uncompressed: int
    media_type: MediaType = MediaType.OCI_LAYER_GZIP


class BlobStore:
    """The blobs in one folder, as `compression` has them; `workers` as for `pack`."""

    def __init__(
        self, folder: Path, *, compression: Compression = Compression.BALANCED, workers: int | None = None
    ) -> None:
        self._folder = folder
        self._codec = codec(compression)
        self._workers = workers
        self._index = folder / self._codec.key
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
            return Blob(path=path, diff_id=diff_id, media_type=self._codec.media_type, **known)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def compress(self, layer: Layer, check: Callable[[], None]) -> Blob:
        """The blob of an uncompressed layer, made now if there is none. `check` is called between blocks, and may
        raise. Raises SquashError ``layer-damaged`` where the layer is not what its diff-ID says."""
        known = self.find(layer.diff_id)
        if known is not None:
            return known
        blob = self.pack(layer.pieces(), check, diff_id=layer.diff_id, prove=False)
        self.vouch(layer)
        return blob

    def vouches(self, layer: Layer) -> bool:
        """Whether the list of a layer that lies in the engine's folders is one that its digest was once found right
        by: then what it says of the layer's entries is believed. Of others there is no list."""
        if layer.split is None:
            return True
        try:
            known = json.loads((self._folder / _LISTS / _hexadecimal(layer.diff_id)).read_bytes())
            return bool(known["list"] == layer.split.digest)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def vouch(self, layer: Layer) -> None:
        """Notes that a layer's digest was found right by its list; the note goes when the layer's blob does."""
        blob = self.find(layer.diff_id)
        if layer.split is None or blob is None:
            return
        # One that cannot be written costs the next one a look.
        with suppress(OSError):
            (self._folder / _LISTS).mkdir(exist_ok=True)
            _write(
                self._folder / _LISTS / _hexadecimal(layer.diff_id),
                {"digest": blob.digest, "list": layer.split.digest},
            )

    def pack(
        self,
        pieces: Iterable[Piece],
        check: Callable[[], None],
        *,
        diff_id: str | None = None,
        prove: bool = True,
        on_plain: Callable[[bytes], None] | None = None,
    ) -> Blob:
        """The blob of a new layer, which must have the `diff_id`, if one is given. What is promised of a blob that is
        to `prove` itself stands in `codec`. `on_plain` is given the layer's bytes, those of the diff-ID, in their
        order. Nothing is left where this raises."""
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=UNFINISHED)
        written = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file, Members(self._folder) as members:
                packed = pack(
                    pieces,
                    file,
                    codec=self._codec,
                    known=members,
                    check=check,
                    prove=prove,
                    workers=self._workers,
                    on_plain=on_plain,
                )
                if diff_id is not None and packed.diff_id != diff_id:
                    raise SquashError(
                        "layer-damaged",
                        diff_id,
                        f"its content has the digest {packed.diff_id}",
                        hint="build the image again",
                    )
                os.fchmod(descriptor, 0o644)
                file.flush()
                blob = self._keep(written, packed)
                members.put(self._codec.key, blob.path.name, packed.members)
                return blob
        finally:
            written.unlink(missing_ok=True)

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
        forget(self._folder, [_hexadecimal(digest) for digest in damaged])
        return tuple(damaged)

    def _keep(self, written: Path, packed: Packed) -> Blob:
        path = self._folder / "sha256" / _hexadecimal(packed.digest)
        written.replace(path)
        known: dict[str, object] = {"digest": packed.digest, "size": packed.size, "uncompressed": packed.uncompressed}
        _write(self._index / _hexadecimal(packed.diff_id), known)
        return Blob(
            path=path,
            diff_id=packed.diff_id,
            digest=packed.digest,
            size=packed.size,
            uncompressed=packed.uncompressed,
            media_type=self._codec.media_type,
        )


def _write(note: Path, known: dict[str, object]) -> None:
    fresh = note.with_name(f"{UNFINISHED}{os.getpid()}-{note.name}")
    fresh.write_text(json.dumps(known))
    fresh.replace(note)


def plain_sizes(folder: Path, diff_ids: Iterable[str]) -> dict[str, int]:
    """Bytes of layers, unpacked, by diff-ID; of those that the store in `folder` has packed, in whatever way."""
    found = {}
    for diff_id in diff_ids:
        for note in folder.glob(f"*/{_hexadecimal(diff_id)}"):
            if note.parent.name != "sha256":
                with suppress(OSError, ValueError, KeyError, TypeError):
                    found[diff_id] = int(json.loads(note.read_bytes())["uncompressed"])
    return found


def _hexadecimal(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    if algorithm != "sha256" or len(encoded) != 64 or not encoded.isalnum():
        raise ValueError(f"not a sha256 digest: {digest}")
    return encoded

"""An image out of the archive that the engine saves: its configuration's bytes, and its layers as files, verified.

Both archive forms are read: that of engines up to 24 (``<id>/layer.tar``) and the OCI layout of 25 and later
(``blobs/sha256/…``); ``manifest.json`` names the parts in either.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import json
import logging
import math
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeGuard, TypeVar

from builders import zstd
from builders.errors import SquashError
from builders.limits import Limits
from builders.room import require_room
from builders.squash.contents import Contents
from builders.squash.digest import Digest
from builders.squash.garbage import collected_later
from builders.squash.member import Member
from builders.squash.pieces import Content, Piece
from builders.squash.pieces import length as piece_length
from builders.squash.stream import stream
from builders.squash.tarread import read_layer, read_pieces
from builders.squash.tarsplit import TarSplit

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_CONFIG_LIMIT = 64 << 20  # bytes
_PARTS_LIMIT = 10_000
"""Entries of an archive, which has three a layer at most; each may be a file here, and tarfile remembers all that it
has seen."""


Mark = tuple[int, int, int]


def mark_of(path: Path) -> Mark:
    """What tells a file from one that was written to, or put in its place, since: its inode, size and time."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """An uncompressed layer of `size` bytes: where it lies.

    In a file, at `path` from `offset` on; its content has been checked against `diff_id`. A file that is somebody
    else's is `lent`, and that says what it was before it was checked (`mark_of`): others may write to it. Or, as
    `split`, in the engine's own folders: then nothing of it has been read, and whoever takes contents of it must see to
    it that all of it has that digest (`verify`). Neither, where nobody needs more of it than what the blob store has.
    """

    diff_id: str
    size: int
    path: Path | None = None
    offset: int = 0
    split: TarSplit | None = None
    lent: Mark | None = None

    def members(self, subject: str) -> Iterator[Member]:
        """Its entries in their order; no content is read. Raises SquashError ``layer-damaged`` and the like."""
        if self.split is not None:
            return read_pieces(self.split.pieces(), name=self.diff_id, subject=subject)
        assert self.path is not None, f"{self.diff_id} was not to be read"
        return read_layer(self.path, subject=subject, offset=self.offset, size=self.size)

    def pieces(self) -> Iterator[Piece]:
        """Its bytes in their order, as they lie."""
        if self.split is not None:
            return self.split.pieces()
        assert self.path is not None, f"{self.diff_id} was not to be read"
        return iter([Content(path=self.path, offset=self.offset, size=self.size)])

    def verify(self, check: Callable[[], None], on_content: Callable[[Content, bytes], None] | None = None) -> None:
        """Reads all of a layer that was not, and raises SquashError ``layer-changed`` where its digest is another one,
        or a file that is lent is not as it was; OSError where a file of it is gone or shorter than it was. `on_content`
        as for `stream`."""
        if self.split is None:
            if self.lent is not None and self.path is not None and mark_of(self.path) != self.lent:
                raise SquashError(
                    "layer-changed", str(self.path), "it was written to while it was read", hint="do it again"
                )
            return
        digest = hashlib.sha256()
        for data in stream(self.pieces(), on_content):
            check()
            digest.update(data)
        self.require(f"sha256:{digest.hexdigest()}")

    def require(self, digest: str) -> None:
        """Raises SquashError ``layer-changed`` where that is not its digest."""
        if digest != self.diff_id:
            raise SquashError(
                "layer-changed", self.diff_id, f"where it lies it is {digest}", hint="build the image again"
            )

    def ranges(self, offsets: Sequence[int], length: int) -> list[bytes]:
        """`length` bytes from each of the ascending offsets on, fewer at the end of the layer."""
        found: list[list[bytes]] = [[] for _ in offsets]
        position = first = 0
        with Contents() as contents:
            for piece in self.pieces():
                end = position + piece_length(piece)
                for number in range(first, len(offsets)):
                    begin, until = max(offsets[number], position), min(offsets[number] + length, end)
                    if offsets[number] >= end:
                        break
                    if begin < until and isinstance(piece, Content):
                        found[number].append(contents.span(piece.path, piece.offset + begin - position, until - begin))
                    elif begin < until and not isinstance(piece, Content):
                        found[number].append(piece[begin - position : until - position])
                position = end
                while first < len(offsets) and offsets[first] + length <= position:
                    first += 1
                if first == len(offsets):
                    break
        return [b"".join(parts) for parts in found]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceImage:
    """An image on disk. `config_bytes` are the engine's own, whose digest is the image's ID. `saved` gives the same
    image as the engine saves it, where this one is read from the engine's own folders: see `whole`."""

    config_bytes: bytes
    config: dict[str, Any]
    layers: tuple[Layer, ...]
    saved: Callable[[], SourceImage] | None = None


def whole(source: SourceImage, act: Callable[[SourceImage], Result]) -> Result:
    """What `act` makes of the image. Where its layers turn out, in the middle of it, not to be what they should be in
    the engine's own folders, or to be gone, it is done again, all of it, with the image that the engine saves."""
    if source.saved is None:
        with collected_later():
            return act(source)
    try:
        with collected_later():
            return act(source)
    except (SquashError, OSError) as error:
        if isinstance(error, InterruptedError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        logger.info("reading the image's layers where they lie has failed (%s); the engine is asked to save it", error)
    saved = source.saved()
    with collected_later():
        return act(saved)


def spool(
    archive: Iterable[bytes],
    folder: Path,
    *,
    subject: str,
    check: Callable[[], None],
    limits: Limits | None = None,
    on_layer: Callable[[Layer], None] = lambda _: None,
) -> SourceImage:
    """Writes the parts of `archive` into `folder` and returns the image. `check` is called now and then, and may raise.
    `limits` are for an archive that is not the engine's. `on_layer` is given what may be a layer as soon as it is
    there, and all of it: the archive says only at its end what each part is.

    Raises SquashError ``archive-damaged`` for an archive that is incomplete or does not hold what it says; ImageError
    ``image-too-large`` and ``layer-bomb``.
    """
    limits = limits or Limits(total=sys.maxsize, ratio=math.inf)
    try:
        with (
            _Parts(folder, subject, limits, on_layer) as parts,
            tarfile.open(fileobj=_Stream(archive, check), mode="r|", bufsize=_CHUNK) as outer,
        ):
            for entry in outer:
                parts.add(entry, outer.extractfile(entry) if entry.isreg() else None)
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(subject, f"the engine's archive cannot be read: {error}") from error
    return _image(parts, subject)


def read_archive(
    archive: Path, folder: Path, *, subject: str, check: Callable[[], None], limits: Limits | None = None
) -> SourceImage:
    """The same of an archive that lies in a file, not compressed: its layers stay where they are, but for those that
    are compressed."""
    limits = limits or Limits(total=sys.maxsize, ratio=math.inf)
    mark = mark_of(archive)
    try:
        with _Parts(folder, subject, limits) as parts, tarfile.open(archive, mode="r:") as outer:
            for entry in outer:
                check()
                parts.add(entry, outer.extractfile(entry) if entry.isreg() else None, (archive, mark))
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(subject, f"the engine's archive cannot be read: {error}") from error
    return _image(parts, subject)


def _image(parts: _Parts, subject: str) -> SourceImage:
    manifest = parts.json("manifest.json")
    if not isinstance(manifest, list) or len(manifest) != 1 or not isinstance(manifest[0], dict):
        raise _damaged(subject, "its manifest.json does not name one image")
    config_bytes = parts.bytes(str(manifest[0].get("Config")))
    config = _object(config_bytes, subject)
    rootfs, names = config.get("rootfs") or {}, manifest[0].get("Layers") or []
    diff_ids = (rootfs.get("diff_ids") or []) if isinstance(rootfs, dict) else None
    if not _is_texts(diff_ids) or not _is_texts(names):
        raise _damaged(subject, "what it says of its layers is no list of names")
    if len(names) != len(diff_ids):
        raise _damaged(subject, f"it names {len(names)} layers, and its configuration {len(diff_ids)}")
    layers = tuple(parts.layer(name, diff_id) for name, diff_id in zip(names, diff_ids, strict=True))
    return SourceImage(config_bytes=config_bytes, config=config, layers=layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A file of the archive: where its `size` bytes lie, and their digest; `lent` as for `Layer`."""

    path: Path
    offset: int
    size: int
    digest: str
    lent: Mark | None = None


class _Parts:
    """The archive's files as they come, under numbers of our own: its names are never used as paths. They are hashed
    and written in a thread that ends with the block."""

    def __init__(
        self, folder: Path, subject: str, limits: Limits, on_layer: Callable[[Layer], None] = lambda _: None
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._written = 0  # bytes gone through
        self._writes = False
        self._count = 0
        self._subject = subject
        self._files: dict[str, _Part] = {}
        self._links: dict[str, str] = {}
        self._on_layer = on_layer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, entry: tarfile.TarInfo, content: IO[bytes] | None, archive: tuple[Path, Mark] | None = None) -> None:
        """Takes in an entry. In an `archive` that stays, what is not compressed does as well."""
        self._count += 1
        if self._count > _PARTS_LIMIT:
            raise _damaged(self._subject, f"it has more than {_PARTS_LIMIT:,} parts, and no image has as many")
        name = _normal(entry.name)
        if entry.issym() or entry.islnk():
            # Engines up to 24 store a layer that an image has twice once, and a link to it.
            target = entry.linkname if entry.islnk() else f"{name.rpartition('/')[0]}/{entry.linkname}"
            self._links[name] = _normal(target)
        elif content is not None:
            chunk = content.read(_CHUNK)
            there = archive if not _is_packed(chunk) and not entry.issparse() else None
            # A number of its own, and so a file, for each of two entries with one name.
            path = there[0] if there else self._folder / f"part-{self._count}"
            if archive is not None and there is None and not self._writes:
                require_room(self._folder, archive[0].stat().st_size, "reading the archive")
            self._writes = self._writes or there is None
            packed = _is_packed(chunk)
            with contextlib.ExitStack() as opened:
                file = None if there else opened.enter_context(path.open("wb"))
                digest = Digest(self._thread, then=None if file is None else file.write)
                while chunk:
                    digest.update(chunk)
                    self._limits.check_expanded(0, 0, before=self._written + digest.size, subject=self._subject)
                    chunk = content.read(_CHUNK)
                found = f"sha256:{digest.end().hex()}"
            self._written += digest.size
            part = self._files[name] = _Part(
                path=path,
                offset=entry.offset_data if there else 0,
                size=digest.size,
                digest=found,
                lent=there[1] if there else None,
            )
            if not there and not packed:
                self._on_layer(Layer(path=path, offset=0, diff_id=part.digest, size=part.size))

    def bytes(self, name: str) -> bytes:
        part = self._part(name)
        if part.size > _CONFIG_LIMIT:
            raise _damaged(self._subject, f"{name} is larger than any configuration")
        with Contents() as contents:
            return contents.span(part.path, part.offset, part.size)

    def json(self, name: str) -> Any:
        try:
            return json.loads(self.bytes(name))
        except (ValueError, RecursionError) as error:
            raise _damaged(self._subject, f"{name} is not JSON: {error}") from error

    def layer(self, name: str, diff_id: str) -> Layer:
        """The layer under that name, uncompressed where it was not, and verified."""
        part = self._part(name)
        with Contents() as contents:
            magic = contents.span(part.path, part.offset, min(4, part.size))
        if _is_packed(magic):
            part = self._expanded(part.path, zstandard=magic == zstd.MAGIC)
        if part.digest != diff_id:
            raise _damaged(self._subject, f"layer {diff_id} has the content of {part.digest}")
        return Layer(path=part.path, offset=part.offset, diff_id=diff_id, size=part.size, lent=part.lent)

    def _expanded(self, path: Path, *, zstandard: bool) -> _Part:
        expanded = path.with_suffix(".tar")
        digest, size, packed_size = hashlib.sha256(), 0, path.stat().st_size
        try:
            with expanded.open("wb") as file:
                for chunk in zstd.unpack_file(path) if zstandard else _gunzipped(path):
                    size += len(chunk)
                    self._limits.check_expanded(size, packed_size, before=self._written, subject=self._subject)
                    digest.update(chunk)
                    file.write(chunk)
        except (gzip.BadGzipFile, EOFError, zlib.error, zstd.ZstdError) as error:
            raise _damaged(self._subject, f"a compressed layer cannot be read: {error}") from error
        self._written += size
        return _Part(path=expanded, offset=0, size=size, digest=f"sha256:{digest.hexdigest()}")

    def _part(self, name: str) -> _Part:
        wanted, seen = _normal(name), set[str]()
        while wanted in self._links and wanted not in seen:
            seen.add(wanted)
            wanted = self._links[wanted]
        if wanted not in self._files:
            raise _damaged(self._subject, f"it lacks {name}")
        return self._files[wanted]


def _is_packed(begin: bytes) -> bool:
    return begin[: len(_GZIP)] == _GZIP or begin[: len(zstd.MAGIC)] == zstd.MAGIC


def _gunzipped(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as packed:
        yield from iter(lambda: packed.read(_CHUNK), b"")


class _Stream(io.RawIOBase):
    """Pieces of any size as a file that is read from the front."""

    def __init__(self, pieces: Iterable[bytes], check: Callable[[], None]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)
        self._check = check
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        self._check()
        collected = [self._rest]
        have = len(self._rest)
        while size < 0 or have < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            collected.append(piece)
            have += len(piece)
        data = b"".join(collected)
        if size < 0:
            size = len(data)
        self._rest = data[size:]
        return data[:size]


def _normal(name: str) -> str:
    parts: list[str] = []
    for part in name.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def _object(raw: bytes, subject: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(subject, f"its configuration is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _damaged(subject, "its configuration is not a JSON object")
    return document


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _damaged(subject: str, message: str) -> SquashError:
    return SquashError("archive-damaged", subject, message, hint="save or build the image again")

"""An image out of a file that `docker save` wrote, as it is or packed by gzip or zstd."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from builders import zstd
from builders.errors import ImageError
from builders.limits import Limits
from builders.opened.model import OpenedImage, require_sound
from builders.room import require_room
from builders.squash.run import disk_full_named
from builders.squash.source import read_archive, spool

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


def open_archive(file: Path, folder: Path, *, name: str, limits: Limits, check: Callable[[], None]) -> OpenedImage:
    """The image in the archive, its layers where they lie, or, where something is compressed, in `folder`. Raises
    ImageError ``archive-missing``, ``layer-bomb`` and ``image-too-large``; SquashError ``archive-damaged`` and
    ``unsupported-compression``; DiskFull."""
    if not file.is_file():
        raise ImageError("archive-missing", name, "there is no such file", hint="docker save -o FILE IMAGE makes one")
    with disk_full_named(folder):
        with file.open("rb") as handle:
            begin = handle.read(len(zstd.MAGIC))
        packed = begin.startswith(_GZIP) or begin == zstd.MAGIC
        if packed:
            require_room(folder, file.stat().st_size, "reading the archive")
            unpacked = _unzstd(file, limits, name) if begin == zstd.MAGIC else _gunzipped(file, limits, name)
            source = spool(unpacked, folder, subject=name, check=check, limits=limits)
        else:
            source = read_archive(file, folder, subject=name, check=check, limits=limits)
    require_sound(source.config, name)
    return OpenedImage(name=name, source=source)


def _gunzipped(path: Path, limits: Limits, name: str) -> Iterator[bytes]:
    size = 0
    with path.open("rb") as raw:
        try:
            with gzip.open(raw) as unpacked:
                while piece := unpacked.read(_CHUNK):
                    size += len(piece)
                    limits.check_expanded(size, raw.tell(), before=0, subject=name)
                    yield piece
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise tarfile.ReadError(f"its gzip stream is damaged: {error}") from error


def _unzstd(path: Path, limits: Limits, name: str) -> Iterator[bytes]:
    size = 0
    with path.open("rb") as raw:
        try:
            for piece in zstd.unpack(iter(lambda: raw.read(_CHUNK), b"")):
                size += len(piece)
                limits.check_expanded(size, raw.tell(), before=0, subject=name)
                yield piece
        except (zstd.ZstdError, EOFError) as error:
            raise tarfile.ReadError(f"its zstd stream is damaged: {error}") from error

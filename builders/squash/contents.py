"""Contents of files, read where they lie."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from builders.errors import SquashError
from builders.squash.member import shown
from builders.squash.pieces import Content, Piece

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe would make us wait
_SMALL = 64 << 10  # what lies in a file of its own, and so is read once
_OPEN = 16  # files kept open: a layer's contents lie in one file, or each in its own


class Contents:
    """Files that contents lie in, each opened once as long as it is in use. Not for several threads."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path | bytes, int] = OrderedDict()

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def read(self, content: Content) -> bytes:
        """All bytes of a content, which should not be many. Raises SquashError ``layer-damaged`` where there are fewer,
        OSError."""
        return self.span(content.path, content.offset, content.size)

    def span(self, path: Path | bytes, offset: int, size: int) -> bytes:
        """The same of `size` bytes at `path` from `offset` on."""
        if size <= _SMALL and isinstance(path, bytes):
            return _small(path, offset, size)
        descriptor, at, parts = self._descriptor(path), offset, list[bytes]()
        end = offset + size
        while at < end:
            part = os.pread(descriptor, end - at, at)
            if not part:
                raise _ends_early(path)
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def blocks(self, content: Content, size: int) -> Iterator[bytes]:
        """The content in blocks of `size` bytes; the last one may be smaller."""
        for start in range(0, content.size, size):
            yield self.read(portion(content, start, min(size, content.size - start)))

    def _descriptor(self, path: Path | bytes) -> int:
        descriptor = self._open.get(path)
        if descriptor is None:
            descriptor = self._open[path] = os.open(path, _FLAGS | os.O_NOFOLLOW if isinstance(path, bytes) else _FLAGS)
            if len(self._open) > _OPEN:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(path)
        return descriptor


def _small(path: bytes, offset: int, size: int) -> bytes:
    descriptor = os.open(path, _FLAGS | os.O_NOFOLLOW)
    try:
        data = os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)
    if len(data) < size:
        raise _ends_early(path)
    return data


def _ends_early(path: Path | bytes) -> SquashError:
    name = shown(os.fsencode(path))
    return SquashError("layer-damaged", name, "its content ends early", hint="build the image again")


def portion(content: Content, start: int, size: int) -> Content:
    """`size` bytes of a content from `start` on."""
    if (start, size) == (0, content.size):
        return content
    return Content(path=content.path, offset=content.offset + start, size=size)


def first(piece: Piece, size: int) -> Piece:
    """The first `size` bytes of a piece, which has as many."""
    return portion(piece, 0, size) if isinstance(piece, Content) else piece[:size]


def rest(piece: Piece, start: int) -> Piece:
    """A piece without its first `start` bytes."""
    return portion(piece, start, piece.size - start) if isinstance(piece, Content) else piece[start:]

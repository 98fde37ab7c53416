"""Contents by reference, read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from builders.squash.pieces import Content, Piece

CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW  # nothing but a file: a pipe would make us wait


class Contents:
    """Reads contents; the file that was read last stays open, for most of a layer may lie in one."""

    def __init__(self) -> None:
        self._path: Path | bytes | None = None
        self._file = -1

    def __enter__(self) -> Contents:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        if self._path is not None:
            os.close(self._file)
            self._path = None

    def read(self, path: Path | bytes, offset: int, size: int) -> bytes:
        """Exactly those bytes, in one piece. Raises OSError where the file is gone, or shorter."""
        if path != self._path:
            self.close()
            self._file = os.open(path, _FLAGS)
            self._path = path
        data = os.pread(self._file, size, offset)
        while len(data) < size:
            more = os.pread(self._file, size - len(data), offset + len(data))
            if not more:
                raise OSError(None, "it is shorter than its layer says", os.fsdecode(path))
            data += more
        return data

    def chunks(self, content: Content) -> Iterator[bytes]:
        """The content in pieces of at most a mebibyte."""
        for position in range(0, content.size, CHUNK):
            yield self.read(content.path, content.offset + position, min(CHUNK, content.size - position))


def plain(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The bytes that pieces amount to, small ones joined: each of the results but the last has a mebibyte or so."""
    waiting: list[bytes] = []
    size = 0
    with Contents() as contents:
        for piece in pieces:
            for data in contents.chunks(piece) if isinstance(piece, Content) else (piece,):
                waiting.append(data)
                size += len(data)
                if size >= CHUNK:
                    yield b"".join(waiting)
                    waiting.clear()
                    size = 0
    if waiting:
        yield b"".join(waiting)

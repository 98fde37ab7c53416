"""A layer's tar as a reader of its headers wants it: blocks in their order, and contents passed by unread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from builders.squash.pieces import Content, Piece

BLOCK = 512
_WINDOW = 128 << 10
_NEAR = 32 << 10  # a header that lies so near is read with the content before it


class TarBytes(Protocol):
    """Where a reader stands in a tar."""

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""

    def tell(self) -> int:
        """How many bytes have gone by."""

    def content(self, stored: int) -> tuple[Path | bytes, int]:
        """Goes past `stored` bytes of a file's content and their padding, and says where they lie: a file and an offset
        in it. Raises EOFError where they are not all there."""


class FileBytes:
    """A tar that lies in a file, `size` bytes from `offset` on."""

    def __init__(self, file: int, path: Path, offset: int, size: int) -> None:
        self._file = file
        self._path = path
        self._offset = offset
        self._size = size
        self._window = b""
        self._begin = self._at = 0  # of the window in the tar, of the reader in the window

    def read(self, size: int) -> bytes:
        """As the protocol says."""
        at = self._at
        end = at + size
        if end > len(self._window):
            begin = self._begin + at
            wanted = min(max(size, _WINDOW), self._size - begin)
            self._window = os.pread(self._file, wanted, self._offset + begin) if wanted > 0 else b""
            self._begin, at, end = begin, 0, size
        data = self._window[at:end]
        self._at = at + len(data)
        return data

    def tell(self) -> int:
        """As the protocol says."""
        return self._begin + self._at

    def content(self, stored: int) -> tuple[Path | bytes, int]:
        """As the protocol says."""
        at = self._at
        place = self._begin + at
        self._at = end = at + -(-stored // BLOCK) * BLOCK
        if end > len(self._window):
            self._begin, self._at, self._window = self._begin + end, 0, b""
            if self._begin > self._size:
                raise EOFError
        return self._path, self._offset + place


class PieceBytes:
    """A tar whose pieces come one after another; no content is opened. Raises EOFError for pieces that do not fall
    where headers say that contents are."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._raw = b""
        self._at = self._passed = 0

    def read(self, size: int) -> bytes:
        """As the protocol says."""
        at = self._at
        end = at + size
        if end > len(self._raw):
            self._fill(size)
            at, end = 0, size
        data = self._raw[at:end]
        self._at = at + len(data)
        return data

    def tell(self) -> int:
        """As the protocol says."""
        return self._passed + self._at

    def content(self, stored: int) -> tuple[Path | bytes, int]:
        """As the protocol says."""
        if self._at < len(self._raw):
            raise EOFError
        piece = next(self._pieces, None)
        if not isinstance(piece, Content) or piece.size != stored:
            raise EOFError
        self._passed += stored
        padding = -stored % BLOCK
        if len(self.read(padding)) < padding:
            raise EOFError
        return piece.path, piece.offset

    def _fill(self, size: int) -> None:
        rest = self._raw[self._at :]
        self._passed += self._at
        self._raw, self._at = rest, 0
        while len(self._raw) < size:
            piece = next(self._pieces, None)
            if piece is None:
                return
            if isinstance(piece, Content):
                raise EOFError
            self._raw += piece

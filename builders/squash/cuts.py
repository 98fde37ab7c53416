"""Where a layer's tar is cut into members.

The stored content of a regular file of 64 KiB or more is a member; so is what lies between two of them, headers and
small files, and of that a mebibyte at most: it is cut before a folder's entry as soon as it is large enough, so that
what is behind a change is soon cut as it was before. All this is read out of the tar's own headers: the same bytes are
cut the same way, whoever read them and in whatever pieces. Bytes that are no tar are cut each mebibyte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from builders.squash.codec import BLOCK
from builders.squash.contents import Contents, first, portion, rest
from builders.squash.pieces import Content, Piece, length

LARGE = 64 << 10
"""Bytes from which on a file's content is a member of its own."""
_FOLDER_CUT = 256 << 10
_STEP = 128 << 10
_RECORD = 512
_EXTENSIONS = b"xgLK"
_REGULAR = b"0\x007"
_EMPTY = b"123456"  # links, devices, folders, pipes: no content, whatever size they claim
_OLD_SPARSE = 0x53
_FOLDER = 0x35
_PAX = 0x78
_EXTENSION_LIMIT = 1 << 20
_SIZE_RECORD = re.compile(rb"(?:^|\n)\d{1,9} size=(\d{1,20})\n")
_ZEROS = bytes(_RECORD)


@dataclass(slots=True, eq=False)
class Stored:
    """A large content, `size` bytes by its header. `whole` says where it lies, if that is known; else it comes as
    `parts`, which end early where the tar does. All parts must be taken before the next member is asked for."""

    size: int
    whole: Content | None
    parts: Iterator[Piece]


def cut(pieces: Iterable[Piece], contents: Contents) -> Iterator[bytes | Stored]:
    """The members of the tar that `pieces` are: large contents by reference, the rest as it is."""
    feed, gap = _Feed(pieces, contents), _Gap(0)
    while data := feed.some():
        yield from gap.take(data)
        if gap.content is None:
            continue
        feed.give_back(gap.surplus)
        size = gap.content
        whole = feed.whole(size)
        yield Stored(size, whole, feed.parts(size) if whole is None else iter(()))
        gap = _Gap(-size % _RECORD)
    yield from gap.end()


class _Feed:
    """Pieces as bytes where they must be looked at, as they are where not."""

    def __init__(self, pieces: Iterable[Piece], contents: Contents) -> None:
        self._pieces = iter(pieces)
        self._contents = contents
        self._piece: Piece = b""
        self._used = 0

    def some(self) -> bytes:
        """The next bytes, a few or many; none at the end."""
        self._advance()
        piece = rest(self._piece, self._used) if self._used else self._piece
        if isinstance(piece, Content):
            piece = self._contents.read(portion(piece, 0, min(_STEP, piece.size)))
        self._used += len(piece)
        return piece

    def give_back(self, count: int) -> None:
        """Of the bytes that came last, as many as came at once at most, these come again."""
        self._used -= count

    def whole(self, size: int) -> Content | None:
        """The next `size` bytes as one content, and goes on behind it; None where they are not one."""
        self._advance()
        if not isinstance(self._piece, Content) or self._piece.size - self._used < size:
            return None
        found = first(rest(self._piece, self._used), size)
        self._used += size
        assert isinstance(found, Content)
        return found

    def parts(self, size: int) -> Iterator[Piece]:
        """The next `size` bytes, in whatever pieces they come."""
        while size:
            self._advance()
            left = length(self._piece) - self._used
            if not left:
                return
            taken = min(left, size)
            part = first(rest(self._piece, self._used), taken)
            self._used += taken
            size -= taken
            yield part

    def _advance(self) -> None:
        while self._used >= length(self._piece):
            following = next(self._pieces, None)
            if following is None:
                self._piece, self._used = b"", 0
                return
            self._piece, self._used = following, 0


class _Gap:
    """What lies between large contents: bytes in, members out. `content` is the size of the content that follows, when
    the end has come, and `surplus` how many of the bytes taken are of it."""

    def __init__(self, padding: int) -> None:
        self.content: int | None = None
        self.surplus = 0
        self._plain = bytearray()  # of the member that is not cut yet
        self._header = padding  # where the next header begins in it
        self._entry: int | None = None  # where the headers of an entry with several begin
        self._size: int | None = None  # what a PAX header says of the next entry
        self._walking = True

    def take(self, data: bytes) -> Iterator[bytes]:
        self._plain += data
        while self._walking and len(self._plain) >= self._header + _RECORD:
            kind = self._plain[self._header + 156]
            if kind in _EXTENSIONS:
                if not self._extension(kind):
                    break
                continue
            yield from self._entry_of(kind)
            if self.content is not None:
                return
        # No cut before a folder can come any more where the walk is a whole member ahead.
        while len(self._plain) >= BLOCK and self._floor >= BLOCK:
            yield self._drop(BLOCK)

    def end(self) -> Iterator[bytes]:
        """What is left when the tar has ended."""
        while self._plain:
            yield self._drop(min(BLOCK, len(self._plain)))

    @property
    def _floor(self) -> int:
        """Where the next cut before a folder could be at the soonest."""
        if not self._walking:
            return len(self._plain)
        return self._header if self._entry is None else self._entry

    def _extension(self, kind: int) -> bool:
        """Steps over a header that says more of the entry after it; False where not all of it is there yet."""
        size = self._stated_size()
        begun = self._header if self._entry is None else self._entry
        start = self._header + _RECORD
        if size is None or start + size - begun > _EXTENSION_LIMIT:
            self._walking = False
            return False
        if kind == _PAX:
            if len(self._plain) < start + size:
                return False
            found = _SIZE_RECORD.search(bytes(self._plain[start : start + size]))
            self._size = int(found[1]) if found else None
        self._entry = begun
        self._header = start + _padded(size)
        return True

    def _entry_of(self, kind: int) -> Iterator[bytes]:
        size = self._stated_size() if self._size is None else self._size
        if size is None or kind == _OLD_SPARSE or self._plain.startswith(_ZEROS, self._header):
            self._walking = False
            return
        if kind == _FOLDER:
            begun = self._header if self._entry is None else self._entry
            while begun >= BLOCK:
                yield self._drop(BLOCK)
                begun -= BLOCK
            if begun >= _FOLDER_CUT:
                yield self._drop(begun)
        self._size = self._entry = None
        self._header += _RECORD
        if kind in _EMPTY:
            return
        if kind in _REGULAR and size >= LARGE:
            yield from self._finish(size)
            return
        self._header += _padded(size)

    def _finish(self, size: int) -> Iterator[bytes]:
        self.content = size
        self.surplus = len(self._plain) - self._header
        while self._header:
            yield self._drop(min(BLOCK, self._header))

    def _stated_size(self) -> int | None:
        field = bytes(self._plain[self._header + 124 : self._header + 136])
        if field[0] & 0x80:
            return int.from_bytes(field[1:], "big") if field[0] == 0x80 else None
        text = field.strip(b" \0")
        return int(text or b"0", 8) if not text.strip(b"01234567") else None

    def _drop(self, count: int) -> bytes:
        member = bytes(memoryview(self._plain)[:count])
        del self._plain[:count]
        self._header -= count
        if self._entry is not None:
            self._entry -= count
        return member


def _padded(size: int) -> int:
    return size + -size % _RECORD

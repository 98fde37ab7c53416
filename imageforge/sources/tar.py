"""The entries of a tar, one after another, from a stream.

Not `tarfile.TarFile`: that one takes a header which is cut short or overwritten for the end of the archive, reads
extended headers of any size into memory, calls itself for each of a chain of them, and keeps every member.
The 512 bytes of a header are still parsed by the standard library.
"""

from __future__ import annotations

import math
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from imageforge.sources.compression import Stream
from imageforge.sources.errors import SourceRefused

_BLOCK = 512
_CHUNK = 1 << 18
_EXTENDED = 1 << 20
"""Bytes of one pax or GNU header, or of one sparse map. GNU tar and Go's reader stop at 1 MiB too."""
_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ")
_NUMBER = re.compile(r"[0-9]{1,19}")

Segment = tuple[int, int]


class EntryKind(StrEnum):
    """What an entry wants to be."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    HARD_LINK = "hard-link"
    SPECIAL = "special"


_KINDS = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.AREGTYPE: EntryKind.FILE,
    tarfile.CONTTYPE: EntryKind.FILE,
    tarfile.GNUTYPE_SPARSE: EntryKind.FILE,
    tarfile.DIRTYPE: EntryKind.FOLDER,
    tarfile.SYMTYPE: EntryKind.LINK,
    tarfile.LNKTYPE: EntryKind.HARD_LINK,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TarEntry:
    """One entry. `size` is that of the file once unpacked, holes included; `segments` are (offset, length) of the
    data that the archive holds for it, in their order. `mtime` is in seconds, and finite."""

    name: str
    kind: EntryKind
    target: str
    size: int
    executable: bool
    mtime: float
    segments: tuple[Segment, ...]


@dataclass(slots=True)
class _Extended:
    """What extended headers say about the entry that follows them."""

    name: str | None = None
    target: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    sparse: list[str] = field(default_factory=list)


class TarReader:
    """Entries, and the data of the one that came last."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0

    def entries(self) -> Iterator[TarEntry]:
        """Every entry up to the block of zeros that ends a tar; without one the archive was cut short."""
        extended = _Extended()
        while any(block := self._stream.exactly(_BLOCK)):
            info = self._parsed(block)
            match info.type:
                case tarfile.GNUTYPE_LONGNAME:
                    extended.name = _text(self._payload(info.size).split(b"\0", 1)[0])
                case tarfile.GNUTYPE_LONGLINK:
                    extended.target = _text(self._payload(info.size).split(b"\0", 1)[0])
                case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE:
                    self._pax(self._payload(info.size), extended)
                case tarfile.XGLTYPE:
                    # `git archive` writes one, with a comment. Names and sizes for all entries make no sense.
                    self._payload(info.size)
                case _:
                    entry, stored = self._entry(info, block, extended)
                    extended = _Extended()
                    self._left = stored
                    yield entry
                    for _ in self.data():
                        pass
                    self._stream.exactly(-stored % _BLOCK)

    def data(self) -> Iterator[bytes]:
        """What is left of the last entry's data, in pieces."""
        while self._left:
            piece = self._stream.exactly(min(self._left, _CHUNK))
            self._left -= len(piece)
            yield piece

    def take(self, size: int) -> bytes:
        """The next bytes of the last entry's data, `size` at most."""
        piece = self._stream.exactly(min(size, self._left, _CHUNK))
        self._left -= len(piece)
        return piece

    def _parsed(self, block: bytes) -> tarfile.TarInfo:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError) as error:
            raise self._unreadable("neither a tar nor one that is gzip, bzip2 or xz inside, or damaged") from error
        if info.size < 0:
            raise self._unreadable(f"{_shown(info.name)} has a size below zero")
        return info

    def _payload(self, size: int) -> bytes:
        if size > _EXTENDED:
            raise SourceRefused(
                "archive-too-big",
                self._stream.subject,
                f"an extended header of {size} bytes, {_EXTENDED} are allowed",
                hint="pack without extended attributes",
            )
        data = self._stream.exactly(size)
        self._stream.exactly(-size % _BLOCK)
        return data

    def _pax(self, data: bytes, extended: _Extended) -> None:
        at = 0
        while at < len(data) and data[at]:
            match = _RECORD.match(data, at)
            end = at + int(match[1]) if match else 0
            if match is None or end > len(data) or end <= match.end() or data[end - 1 : end] != b"\n":
                raise self._unreadable("a pax header that is none")
            key, equals, value = data[match.end() : end - 1].partition(b"=")
            if not equals:
                raise self._unreadable("a pax header that is none")
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                extended.sparse.append(_text(value))
            elif key in (b"path", b"linkpath", b"size", b"mtime") or key.startswith(b"GNU.sparse."):
                extended.values[_text(key)] = _text(value)
            at = end

    def _entry(self, info: tarfile.TarInfo, block: bytes, extended: _Extended) -> tuple[TarEntry, int]:
        """The entry, and how many bytes of data follow in the archive."""
        values = extended.values
        kind = _KINDS.get(info.type, EntryKind.SPECIAL)
        # Links and folders have no data, whatever their size says; tarfile and GNU tar read them so too.
        stored = self._number(values.get("size", str(info.size))) if kind is EntryKind.FILE else 0
        size, segments = stored, self._segments([0, stored])
        if info.type == tarfile.GNUTYPE_SPARSE:
            size, segments = self._old_sparse(block)
        elif values.get("GNU.sparse.major") == "1" and kind is EntryKind.FILE:
            size = self._number(values.get("GNU.sparse.realsize", ""))
            segments, used = self._map_in_data(stored)
            stored -= used
        elif extended.sparse or "GNU.sparse.map" in values:
            size = self._number(values.get("GNU.sparse.size", ""))
            numbers = extended.sparse or values["GNU.sparse.map"].split(",")
            segments = self._segments([self._number(text) for text in numbers])
        self._check(segments, size, stored)
        entry = TarEntry(
            name=values.get("GNU.sparse.name") or values.get("path") or extended.name or info.name,
            kind=kind,
            target=values.get("linkpath") or extended.target or info.linkname,
            size=size,
            executable=bool(info.mode & 0o100),
            mtime=_seconds(values.get("mtime"), info.mtime),
            segments=segments,
        )
        return entry, stored

    def _old_sparse(self, block: bytes) -> tuple[int, tuple[Segment, ...]]:
        """The map of GNU tar's own format: four pairs in the header, 21 in each block that follows."""
        size = self._octal(block[483:495])
        fields, more, taken = block[386:482], block[482], 0
        numbers: list[int] = []
        while True:
            for at in range(0, len(fields), 24):
                if fields[at]:
                    numbers += self._octal(fields[at : at + 12]), self._octal(fields[at + 12 : at + 24])
            if not more:
                return size, self._segments(numbers)
            taken += _BLOCK
            if taken > _EXTENDED:
                raise self._unreadable("a sparse map without an end")
            following = self._stream.exactly(_BLOCK)
            fields, more = following[:504], following[504]

    def _map_in_data(self, stored: int) -> tuple[tuple[Segment, ...], int]:
        """The map of pax sparse files, version 1.0: decimal lines before the data, padded to a block."""
        text, numbers, wanted = b"", list[int](), 1
        used = 0
        while len(numbers) < wanted:
            if used >= min(stored, _EXTENDED):
                raise self._unreadable("a sparse map without an end")
            text += self._stream.exactly(_BLOCK)
            used += _BLOCK
            *lines, text = text.split(b"\n")
            numbers += [self._number(_text(line)) for line in lines]
            if numbers:
                wanted = 1 + 2 * numbers[0]
        return self._segments(numbers[1:wanted]), used

    def _segments(self, numbers: list[int]) -> tuple[Segment, ...]:
        if len(numbers) % 2:
            raise self._unreadable("a sparse map with half a pair")
        return tuple(zip(numbers[::2], numbers[1::2], strict=True))

    def _check(self, segments: tuple[Segment, ...], size: int, stored: int) -> None:
        at = 0
        for offset, length in segments:
            if offset < at or length < 0 or offset + length > size:
                raise self._unreadable("a sparse map that contradicts itself")
            at = offset + length
        if sum(length for _, length in segments) != stored:
            raise self._unreadable("a sparse map that contradicts itself")

    def _number(self, text: str) -> int:
        if not _NUMBER.fullmatch(text, 0) or not text.isascii():
            raise self._unreadable("a number that is none")
        return int(text)

    def _octal(self, text: bytes) -> int:
        if text[0] & 0x80:
            return int.from_bytes(text[1:], "big")
        digits = text.split(b"\0", 1)[0].strip()
        if not re.fullmatch(rb"[0-7]{0,12}", digits):
            raise self._unreadable("a number that is none")
        return int(digits or b"0", 8)

    def _unreadable(self, problem: str) -> SourceRefused:
        return SourceRefused(
            "archive-unreadable", self._stream.subject, problem, hint="upload a .tar.gz, such as `tar -czf` makes"
        )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _shown(name: str) -> str:
    return ascii(name)[:200]


def _seconds(text: str | None, header: float) -> float:
    """Between 1970 and 9999, which every file system and `datetime` can tell."""
    try:
        value = float(text) if text else float(header)
    except (ValueError, OverflowError):
        value = 0.0
    return min(max(value, 0.0), 253402300799.0) if math.isfinite(value) else 0.0

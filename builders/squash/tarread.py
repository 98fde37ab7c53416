"""A layer's tar, header by header.

Formats: POSIX ustar and PAX (pax(1)), GNU long names, base-256 numbers and the four sparse forms (GNU tar manual,
"Sparse Formats"). Written for layers because the standard library decodes names and attributes to text, gives times as
floats, and holds every member it has seen. No content is read, except the map of a sparse file.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from builders.errors import SquashError
from builders.squash.member import Kind, Member, canonical_path
from builders.squash.pieces import Piece
from builders.squash.tarbytes import BLOCK, FileBytes, PieceBytes, TarBytes

_ENTRY_LIMIT = 10_000_000
_EXTENSION_LIMIT = 4 << 20  # bytes of one PAX header or long name
_EXTENSIONS_LIMIT = 64 << 20
_EXTENSIONS_EACH = 4 << 10
"""Bytes of all extended headers of a layer, and as many more a header: what they say is kept in memory."""
_ZERO = bytes(BLOCK)
_CHUNK = 1 << 20
_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHARACTER,
    b"4": Kind.BLOCK,
    b"5": Kind.DIRECTORY,
    b"6": Kind.FIFO,
}
_TOLD_ELSEWHERE = frozenset({b"path", b"linkpath", b"size", b"uid", b"gid", b"uname", b"gname", b"mtime"})
_NO_RECORDS: Mapping[bytes, bytes] = {}
_NO_DEVICE = (0, 0)
_DEVICES = (Kind.CHARACTER, Kind.BLOCK)
_KNOWN_LIMIT = 20_000
_DECIMAL = re.compile(rb"-?\d{1,40}(?:\.\d{0,40})?")
"""A number as records have them; Python turns one of thousands of digits into none."""
_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
"""name, mode, uid, gid, size, mtime, checksum, type, link, magic, uname, gname, two device numbers, prefix"""


def read_layer(path: Path, *, subject: str, offset: int = 0, size: int | None = None) -> Iterator[Member]:
    """The entries of the uncompressed layer at `path` in their order, doubles and whiteouts included. It is all of the
    file, or `size` bytes from `offset` on.

    Raises SquashError ``layer-damaged`` (cut short, wrong checksum, trailing garbage), ``unsafe-path`` or
    ``unsupported-entry``, all naming `subject`.
    """
    with path.open("rb", buffering=0) as file:
        length = os.fstat(file.fileno()).st_size - offset if size is None else size
        there = FileBytes(file.fileno(), path, offset, length)
        yield from _Reader(file=there, name=path.name, subject=subject).members()


def read_pieces(pieces: Iterator[Piece], *, name: str, subject: str) -> Iterator[Member]:
    """The same of a layer in pieces, every content of it by reference; none is opened. `name` is the layer's, for
    messages. Sparse files are refused as damaged: whoever cut the pieces may have seen them otherwise."""
    yield from _Reader(file=PieceBytes(pieces), name=name, subject=subject, no_sparse=True).members()


@dataclass(kw_only=True, slots=True)
class _Extension:
    """What precedes a header and changes its meaning."""

    name: bytes | None = None
    link: bytes | None = None
    records: dict[bytes, bytes] = field(default_factory=dict)
    sparse: list[tuple[bytes, bytes]] = field(default_factory=list)  # PAX 0.0 repeats its keys


@dataclass(kw_only=True, slots=True)
class _Reader:
    file: TarBytes
    name: str
    subject: str
    no_sparse: bool = False
    # Numbers, times and names, as headers write them again and again: each is parsed, and held, once.
    known: dict[bytes, int] = field(default_factory=dict)
    times: dict[bytes, str] = field(default_factory=dict)
    owners: dict[bytes, bytes] = field(default_factory=dict)

    def members(self) -> Iterator[Member]:
        extension: _Extension | None = None
        count = extended = 0
        try:
            while (header := self._next_header()) is not None:
                count += 1
                if count > _ENTRY_LIMIT:
                    self._damaged(f"it has more than {_ENTRY_LIMIT} entries")
                flag = header[156:157]
                if flag in b"xgLK":
                    extension = extension or _Extension()
                    data = self._payload(header)
                    extended += len(data)
                    if extended > _EXTENSIONS_LIMIT + count * _EXTENSIONS_EACH:
                        self._damaged(f"its extended headers have more than {_EXTENSIONS_LIMIT:,} bytes")
                    self._extend(extension, flag, data)
                    continue
                yield self._member(header, flag, extension)
                extension = None
        except EOFError:
            self._damaged("it is cut short, or its pieces do not fall where its headers say")
        if extension is not None and extension != _Extension():
            self._damaged("it ends with an extended header that belongs to nothing")

    def _next_header(self) -> bytes | None:
        """The next header block; None at the end, after which only zeros may follow."""
        block = self.file.read(BLOCK)
        if not block:
            return None
        if len(block) < BLOCK:
            self._damaged("it is cut short")
        if block != _ZERO:
            self._check_sum(block)
            return block
        while chunk := self.file.read(_CHUNK):
            if chunk.strip(b"\0"):
                self._damaged("something follows the end of the archive")
        return None

    def _check_sum(self, block: bytes) -> None:
        # The lower half of Adler-32, begun at 0, is the sum of the bytes, as long as that is less than 65,521.
        unsigned = (zlib.adler32(block[:256], 0) & 0xFFFF) + (zlib.adler32(block[256:], 0) & 0xFFFF)
        unsigned += 8 * 0x20 - sum(block[148:156])
        try:
            stated = _number(block[148:156])
        except ValueError:
            self._damaged("a header's checksum is not a number")
        # Some old writers summed signed bytes.
        if stated != unsigned and stated != unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
            self._damaged(f"the header at byte {self.file.tell() - BLOCK} has a wrong checksum")

    def _payload(self, header: bytes) -> bytes:
        """The content of an extension, padding skipped."""
        size = self._field(header[124:136], "size")
        if not 0 <= size <= _EXTENSION_LIMIT:
            self._damaged(f"an extended header claims {size} bytes")
        data = self.file.read(_padded(size))
        if len(data) < _padded(size):
            self._damaged("it is cut short in an extended header")
        return data[:size]

    def _extend(self, extension: _Extension, flag: bytes, data: bytes) -> None:
        if flag == b"L":
            extension.name = data.split(b"\0", 1)[0]
        elif flag == b"K":
            extension.link = data.split(b"\0", 1)[0]
        elif flag == b"x":
            for key, value in self._pax(data):
                extension.records[key] = value
                if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                    extension.sparse.append((key, value))
        # A global header ("g") describes the archive, not an entry: engines read past it, and so does this.

    def _pax(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """``LENGTH KEY=VALUE\\n`` again and again; LENGTH counts the whole record, so the value may hold anything."""
        position = 0
        while position < len(data):
            space = data.find(b" ", position, position + 20)
            if space < 0 or not data[position:space].isdigit():
                self._damaged("a PAX record has no length")
            end = position + int(data[position:space])
            key, equals, value = data[space + 1 : end - 1].partition(b"=")
            if end > len(data) or data[end - 1 : end] != b"\n" or not equals or not key or end <= space:
                self._damaged("a PAX record is malformed")
            yield key, value
            position = end

    def _member(self, header: bytes, flag: bytes, extension: _Extension | None) -> Member:
        name, mode, uid, gid, size, mtime, _, _, link, magic, uname, gname, major, minor, prefix = _FIELDS.unpack(
            header
        )
        raw_name, link, records = _text(name), _text(link) if link[0] else b"", _NO_RECORDS
        if prefix[0] and magic[:6] == b"ustar\0":
            raw_name = _text(prefix) + b"/" + raw_name
        if extension is not None:
            records = extension.records
            given = records.get(b"GNU.sparse.name") or records.get(b"path") or extension.name
            raw_name = given or raw_name
            link = records.get(b"linkpath") or extension.link or link
        kind = self._kind(flag, raw_name)
        length = self._field(size, "size")
        owner, group = self._field(uid, "uid"), self._field(gid, "gid")
        if records:
            length = self._pax_number(records, b"size", length)
            owner, group = self._pax_number(records, b"uid", owner), self._pax_number(records, b"gid", group)
        if kind is not Kind.FILE:
            length = 0
        if length < 0:
            self._damaged("an entry has a negative size")
        stored, pieces = length, None
        source: Path | bytes | None = None
        offset = 0
        if kind is Kind.FILE:
            if flag == b"S" or (records and any(key.startswith(b"GNU.sparse.") for key in records)):
                length, pieces, stored = self._sparse(header, flag, extension or _Extension(), stored)
            if stored:
                source, offset = self._content(stored)
        return Member(
            path=canonical_path(raw_name, self.subject),
            kind=kind,
            mode=self._field(mode, "mode") & 0o7777,
            uid=owner,
            gid=group,
            mtime=self._mtime(mtime, records),
            uname=(records and records.get(b"uname")) or self._owner(uname),
            gname=(records and records.get(b"gname")) or self._owner(gname),
            link=canonical_path(link, self.subject) if kind is Kind.HARDLINK else _only_symlink(kind, link),
            size=length,
            device=self._device(major, minor) if kind in _DEVICES else _NO_DEVICE,
            records=_kept(records) if records else (),
            source=source,
            offset=offset,
            sparse=pieces,
        )

    def _kind(self, flag: bytes, raw_name: bytes) -> Kind:
        kind = _KINDS.get(flag)
        if kind is None:
            raise SquashError(
                "unsupported-entry", self.subject, f"an entry has the type {flag!r}, which no image layer may hold"
            )
        # Before POSIX a folder was a file whose name ends with a slash; engines read it so still.
        return Kind.DIRECTORY if flag in (b"0", b"\0") and raw_name.endswith(b"/") else kind

    def _content(self, stored: int) -> tuple[Path | bytes, int]:
        """Goes past the content, and makes sure that it is there."""
        try:
            return self.file.content(stored)
        except EOFError:
            self._damaged("it is cut short in the content of an entry")

    def _mtime(self, mtime: bytes, records: Mapping[bytes, bytes]) -> str:
        value = records.get(b"mtime") if records else None
        if value:
            if not _DECIMAL.fullmatch(value):
                self._damaged("a modification time is not a number")
            whole, _, fraction = value.decode().partition(".")
            fraction = fraction.rstrip("0")
            return f"{whole}.{fraction}" if fraction else whole
        time = self.times.get(mtime)
        if time is None:
            time = str(self._field(mtime, "mtime"))
            if len(self.times) < _KNOWN_LIMIT:
                self.times[mtime] = time
        return time

    def _owner(self, name: bytes) -> bytes:
        owner = self.owners.get(name)
        if owner is None:
            owner = _text(name)
            if len(self.owners) < _KNOWN_LIMIT:
                self.owners[name] = owner
        return owner

    def _device(self, major: bytes, minor: bytes) -> tuple[int, int]:
        return self._field(major, "device"), self._field(minor, "device")

    def _sparse(
        self, header: bytes, flag: bytes, extension: _Extension, stored: int
    ) -> tuple[int, tuple[tuple[int, int], ...], int]:
        """The real size, the map, and how long the stored pieces are, which come next."""
        if self.no_sparse:
            self._damaged("it has a sparse file, whose pieces are not known")
        records, begin = extension.records, self.file.tell()
        if flag == b"S":
            numbers, size = self._old_sparse(header)
        elif records.get(b"GNU.sparse.major") == b"1":
            size = self._pax_number(records, b"GNU.sparse.realsize", -1)
            numbers = self._sparse_map()
            stored -= self.file.tell() - begin
        else:
            size = self._pax_number(records, b"GNU.sparse.size", -1)
            texts = [value for _, value in extension.sparse]
            if b"GNU.sparse.map" in records:
                texts = records[b"GNU.sparse.map"].split(b",")
            numbers = [self._decimal(text) for text in texts if text]
        pieces = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        self._check_pieces(pieces, len(numbers), size, stored)
        return size, pieces, stored

    def _check_pieces(self, pieces: tuple[tuple[int, int], ...], numbers: int, size: int, stored: int) -> None:
        end = 0
        for offset, length in pieces:
            if offset < end or length < 0:
                self._damaged("a sparse file's pieces overlap")
            end = offset + length
        if numbers % 2 or end > size or sum(length for _, length in pieces) != stored:
            self._damaged("a sparse file's map does not fit its size")

    def _old_sparse(self, header: bytes) -> tuple[list[int], int]:
        numbers: list[int] = []
        for position in range(386, 386 + 4 * 24, 12):
            numbers.append(self._field(header[position : position + 12], "sparse map"))
        more = header[482]
        while more:
            block = self.file.read(BLOCK)
            if len(block) < BLOCK:
                self._damaged("it is cut short in a sparse map")
            numbers += [self._field(block[at : at + 12], "sparse map") for at in range(0, 21 * 24, 12)]
            more = block[504]
        pairs = [pair for pair in zip(numbers[::2], numbers[1::2], strict=True) if pair != (0, 0)]
        return [number for pair in pairs for number in pair], self._field(header[483:495], "size")

    def _sparse_map(self) -> list[int]:
        """PAX 1.0: a count, then offsets and lengths, a decimal a line, padded to a block."""
        text, needed = b"", 1
        while text.count(b"\n") < needed:
            block = self.file.read(BLOCK)
            text += block
            if len(block) < BLOCK or len(text) > _EXTENSION_LIMIT:
                self._damaged("a sparse file's map has no end")
            if needed == 1 and b"\n" in text:
                needed = 1 + 2 * self._decimal(text.split(b"\n", 1)[0])
        return [self._decimal(line) for line in text.split(b"\n")[1:needed]]

    def _pax_number(self, records: Mapping[bytes, bytes], key: bytes, otherwise: int) -> int:
        value = records.get(key)
        return self._decimal(value) if value else otherwise

    def _decimal(self, value: bytes) -> int:
        if not _DECIMAL.fullmatch(value) or b"." in value:
            self._damaged(f"{value[:40]!r} is not a number")
        return int(value)

    def _field(self, text: bytes, what: str) -> int:
        number = self.known.get(text)
        if number is None:
            try:
                number = _number(text)
            except ValueError:
                self._damaged(f"a header's {what} is not a number")
            if len(self.known) < _KNOWN_LIMIT:
                self.known[text] = number
        return number

    def _damaged(self, message: str) -> NoReturn:
        raise SquashError("layer-damaged", self.subject, f"{self.name}: {message}")


def _number(text: bytes) -> int:
    """Octal, or base-256 where the first bit is set (two's complement, GNU tar)."""
    if text[0] & 0x80:
        value = int.from_bytes(text, "big") & ((1 << (8 * len(text) - 1)) - 1)
        bits = 8 * len(text) - 1
        return value - (1 << bits) if text[0] & 0x40 else value
    digits = text.strip(b" \0").split(b"\0", 1)[0].strip()
    return int(digits, 8) if digits else 0


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(field_: bytes) -> bytes:
    """What comes before the first NUL."""
    return field_.partition(b"\0")[0]


def _only_symlink(kind: Kind, link: bytes) -> bytes:
    return link if kind is Kind.SYMLINK else b""


def _kept(records: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        sorted(
            (key, value)
            for key, value in records.items()
            if key not in _TOLD_ELSEWHERE and not key.startswith(b"GNU.sparse.")
        )
    )

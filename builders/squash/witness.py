"""The proof's own reading of a layer's tar: what it brings, where contents lie, whether they are what they should be.

A push parser: the tar's bytes are fed to it in their order, in pieces of any size, and it decides by the headers alone
what is a header and what a content. Nothing of the squash's reader is used or believed: a reference that stands for
bytes of the tar (`refer`) must begin and end where a header says that a content does.

Facts are kept as the header has them and compared so; only where two differ are they parsed (POSIX ustar and PAX, GNU's
long names, base-256 numbers and sparse files).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from builders.squash.contents import Contents

_BLOCK = 512
_EXTENSION_LIMIT = 4 << 20  # bytes
_NUMBERS_LIMIT = 20_000  # that are remembered as they are spelt
_FILE, _FOLDER, _SYMLINK, _HARDLINK = b"0", b"5", b"2", b"1"
_DEVICES = (b"3", b"4")
_FILES = (b"0", b"\0", b"7", b"S")
_NAMES = {_FILE: "file", _FOLDER: "folder"}
_XATTR = b"SCHILY.xattr."
_TELLING = (b"uid", b"gid", b"mtime")
_NO_RECORDS: dict[bytes, bytes] = {}
_EXTENSIONS = (b"x", b"g", b"L", b"K")
_OLD_FILES = (b"0", b"\0")
_SLASH = 47
_SMALL = 64 << 10
"""Bytes up to which it takes longer to open a file than to reckon a digest."""
_adler = zlib.adler32


class Unreadable(ValueError):
    """It is no tar, or its pieces are not what its headers say."""


class Thing:
    """A file, folder or other object; names that are hard links of one another share it.

    `raw` are owner, group and time as the header has them, after the permissions and before a device's numbers; `pax`
    the records that change or add to them. A file's content is `size` bytes: at `path` from `offset` on, or, where it
    is sparse, the `pieces` (offset in the content, length) lie there one after another. `path` is None where the
    content is not known to lie anywhere.
    """

    __slots__ = ("digest", "kind", "link", "offset", "path", "pax", "pieces", "raw", "size")

    def __init__(self, kind: bytes, raw: bytes, pax: tuple[tuple[bytes, bytes], ...] = (), link: bytes = b"") -> None:
        self.kind = kind
        self.raw = raw
        self.pax = pax
        self.link = link
        self.size = 0
        self.path: Path | bytes | None = None
        self.offset = 0
        self.pieces: tuple[tuple[int, int], ...] | None = None
        self.digest: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether other things can be in it."""
        return self.kind == _FOLDER

    def copy(self) -> Thing:
        """Another object that is the same."""
        copied = Thing(self.kind, self.raw, self.pax, self.link)
        copied.size = self.size
        copied.lies_where(self)
        return copied

    def lies_with(self, other: Thing) -> bool:
        """Whether both contents, of the same size, are known to be one and the same."""
        if self.path is None or other.path is None:
            # Nothing at all, or nothing but holes, lies nowhere.
            return self.path is other.path and (not self.size or (self.pieces == () == other.pieces))
        return (
            self.offset == other.offset
            and (self.path is other.path or self.path == other.path)
            and self.pieces == other.pieces
        )

    def lies_where(self, other: Thing) -> None:
        """Its content is the other's."""
        self.path, self.offset, self.pieces = other.path, other.offset, other.pieces

    def looks_like(self, other: Thing) -> bool:
        """Whether all but the content is the same, byte for byte; where it is not, `facts` may still be."""
        return (
            self.raw == other.raw
            and self.kind == other.kind
            and self.size == other.size
            and self.pax == other.pax
            and self.link == other.link
        )

    def facts(self) -> tuple[object, ...]:
        """What it is but for its content: type, mode, owner, group, time, target, device, xattrs, size. Raises
        Unreadable."""
        try:
            return self._facts()
        except (ValueError, ArithmeticError) as error:
            raise Unreadable(f"a header says {error}") from error

    def _facts(self) -> tuple[object, ...]:
        records = dict(self.pax)
        raw = self.raw
        time = records.get(b"mtime")
        return (
            _NAMES.get(self.kind, self.kind.decode("latin-1")),
            _number(raw[0:8]) & 0o7777,
            int(records.get(b"uid") or _number(raw[8:16])),
            int(records.get(b"gid") or _number(raw[16:24])),
            Decimal(time.decode()) if time else Decimal(_number(raw[24:36])),
            self.link,
            (_number(raw[36:44]), _number(raw[44:52])) if self.kind in _DEVICES else (0, 0),
            tuple(pair for pair in self.pax if pair[0].startswith(_XATTR)),
            self.size,
        )

    def content(self, contents: Contents, begin: int, length: int) -> bytes:
        """`length` bytes of the content from `begin` on, a sparse file's holes as zeros. Raises OSError."""
        if length == 0:
            return b""
        if self.pieces is None:
            assert self.path is not None
            return contents.span(self.path, self.offset + begin, length)
        found = bytearray(length)
        stored = self.offset
        for at, size in self.pieces:
            first, last = max(at, begin), min(at + size, begin + length)
            if first < last:
                assert self.path is not None
                found[first - begin : last - begin] = contents.span(self.path, stored + first - at, last - first)
            stored += size
        return bytes(found)


IMPLIED = Thing(_FOLDER, b"0000755\0" + b"0000000\0" * 2 + b"00000000000\0")
"""What a folder is that no layer has an entry for."""

Entry = tuple[bytes, Thing | None, bytes]
"""A canonical path and what is there; for a hard link None, and the canonical path of what it links to."""


class Witness:
    """Takes down a layer's entries as its bytes go by.

    Of a source layer the contents are only noted: `file` says where the fed bytes lie, if they do (a file, and the
    offset of the tar in it). Of a result they are compared: `expected` gives the thing that should be at a path; the
    contents that are the same lie, from then on, where that thing's do, and all others nowhere. Small ones that lie in
    files of their own are the same only when they have been seen (`see`).
    """

    def __init__(
        self,
        *,
        file: tuple[Path, int] | None = None,
        expected: Callable[[bytes], Thing | None] | None = None,
    ) -> None:
        self.entries: list[Entry] = []
        self.size = 0
        """Bytes gone by."""
        self._file = file
        self._expected = expected
        self._contents = Contents()
        self._rest = b""
        self._ended = False
        self._content = 0  # bytes of a content yet to come
        self._padding = 0
        self._thing: Thing | None = None  # whose content comes
        self._model: Thing | None = None  # what it is compared with
        self._records: dict[bytes, bytes] = _NO_RECORDS
        self._pieces: list[int] = []  # PAX 0.0 repeats its keys
        self._name = self._linkname = b""
        self._unseen: dict[bytes, list[tuple[Thing, Thing, bytes]]] = {}
        """By the file of a small content: a thing, what it should be the same as, and its content's digest."""
        self._raws: dict[bytes, bytes] = {}  # those that many entries have are held once
        self._modes: dict[bytes, bytes] = {}
        self._numbers: dict[bytes, int] = {}

    def close(self) -> None:
        """Lets go of what it compared with."""
        self._contents.close()

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises Unreadable."""
        try:
            self._feed(data)
        except (KeyError, ValueError, OverflowError) as error:
            raise error if isinstance(error, Unreadable) else Unreadable(f"a header says {error}") from error

    def _feed(self, data: bytes) -> None:
        self.size += len(data)
        if self._ended:
            return
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = self._pass_content(data, 0) if self._content or self._padding else 0
        while len(data) - at >= _BLOCK:
            after = self._entry(data, at)
            if after < 0:
                break
            at = after
        if at < len(data) and not self._ended:
            self._rest = data[at:]

    @property
    def passable(self) -> int:
        """How many bytes of a content come next, which need not be fed."""
        return self._content if self._expected is None and not self._rest else 0

    def pass_by(self) -> None:
        """Those bytes have gone by, in the file that is fed."""
        self.size += self._content
        self._content = 0

    def refer(self, path: Path | bytes, offset: int, size: int) -> None:
        """The next bytes lie elsewhere. Raises Unreadable where they are not one content, whole."""
        if self._ended:
            self.size += size
            return
        if self._thing is None or not self._content or self._rest or size != self._content or self._thing.pieces:
            raise Unreadable("its pieces do not fall where its headers say that contents are")
        self._thing.path, self._thing.offset = path, offset
        self.pass_by()

    def see(self, path: Path | bytes, offset: int, data: bytes) -> None:
        """What lies there is `data`, says who has read it; a small content that was to be the same is, if it is."""
        if not isinstance(path, bytes):
            return
        for thing, model, digest in self._unseen.pop(path, ()):
            if offset == model.offset and len(data) == model.size and hashlib.sha256(data).digest() == digest:
                thing.lies_where(model)

    def finish(self) -> list[Entry]:
        """The entries, when all has been fed. Raises Unreadable where more should have come."""
        self.close()
        if not self._ended and (self._content or self._padding or self._rest.strip(b"\0") or self._records):
            raise Unreadable("it is cut short")
        return self.entries

    def _entry(self, data: bytes, at: int) -> int:
        """Takes in the entry at `at`, and returns where the next one is; -1 where not enough of it is there yet."""
        block = data[at : at + _BLOCK]
        if not block[0] and not any(block):
            self._ended = True
            return -1
        # Adler-32's lower half, begun at 0, is the sum of the bytes, of so few as these; the checksum's own are spaces.
        total = (_adler(block[:148], 0) & 0xFFFF) + (_adler(block[156:345], 0) & 0xFFFF) + 8 * 32
        total += _adler(block[345:], 0) & 0xFFFF
        if block[148:156] != b"%06o\0 " % total:
            _require_sum(block, total)
        flag = block[156:157]
        size = self._numbers.get(block[124:136])
        if size is None:
            size = self._number(block[124:136])
        at += _BLOCK
        if flag in _EXTENSIONS:
            end = at + size
            if not 0 <= size <= _EXTENSION_LIMIT:
                raise Unreadable("an extended header has an impossible size")
            padded = at + -(-size // _BLOCK) * _BLOCK
            if padded > len(data):
                return -1
            self._extend(flag, data[at:end])
            return padded
        return self._object(block, flag, size, data, at)

    def _object(self, block: bytes, flag: bytes, size: int, data: bytes, at: int) -> int:
        records = self._records
        pax: tuple[tuple[bytes, bytes], ...] = ()
        if records:
            size = int(records[b"size"]) if records.get(b"size") else size
            pax = tuple(sorted(pair for pair in records.items() if pair[0] in _TELLING or pair[0].startswith(_XATTR)))
        name = self._name_of(block)
        kind = _FILE if flag in _FILES else flag
        if name[-1:] == b"/" and flag in _OLD_FILES:
            kind = _FOLDER
        path = name if _is_canonical(name) else canonical(name)
        if kind == _HARDLINK:
            self.entries.append((path, None, canonical(self._link_of(block))))
            self._forget()
            return at
        raw = self._permissions(block[100:108]) + block[108:124] + block[136:148]
        thing = Thing(kind, self._raws.setdefault(raw, raw), pax)
        stored = 0
        if kind == _FILE:
            thing.size = stored = size
            if flag == b"S" or b"GNU.sparse.realsize" in records or b"GNU.sparse.size" in records:
                found = self._sparse(block, flag, size, data, at)
                if found is None:
                    return -1
                thing.size, thing.pieces, stored, at = found
        elif kind == _SYMLINK:
            thing.link = self._link_of(block)
        elif kind in _DEVICES:
            thing.raw += block[329:345]
        self.entries.append((path, thing, b""))
        self._forget()
        return self._begin(path, thing, stored, data, at) if thing.size else at

    def _permissions(self, field: bytes) -> bytes:
        """The mode without the type, which engines write with it and others do not: the kind says that. So what an
        engine wrote and what was made of it are the same without being parsed."""
        mode = self._modes.get(field)
        if mode is None:
            try:
                mode = b"%07o\0" % (_number(field) & 0o7777)
            except ValueError:
                mode = field  # `facts` says what is wrong with it
            if len(self._modes) < _NUMBERS_LIMIT:
                self._modes[field] = mode
        return mode

    def _name_of(self, block: bytes) -> bytes:
        end = block.find(b"\0", 0, 100)
        name = block[: 100 if end < 0 else end]
        if block[345] and block[257:263] == b"ustar\0":
            name = _text(block[345:500]) + b"/" + name
        if self._records or self._name:
            name = self._records.get(b"GNU.sparse.name") or self._records.get(b"path") or self._name or name
        return name

    def _link_of(self, block: bytes) -> bytes:
        return self._records.get(b"linkpath") or self._linkname or _text(block[157:257])

    def _begin(self, path: bytes, thing: Thing, stored: int, data: bytes, at: int) -> int:
        """The content, as far as it is there."""
        if stored < 0:
            raise Unreadable("an entry has a negative size")
        self._model = None
        if self._expected is None:
            if self._file is not None:
                # What has been fed up to `at`, counted from the tar's begin.
                thing.path, thing.offset = self._file[0], self._file[1] + self.size - (len(data) - at)
        else:
            model = self._expected(path)
            if model is not None and model.size == thing.size and model.kind == _FILE and thing.pieces is None:
                self._model = model
        end = at + stored
        if end <= len(data):  # as of most files
            model = self._model
            if model is not None and isinstance(model.path, bytes) and model.pieces is None and stored <= _SMALL:
                found = thing, model, hashlib.sha256(data[at:end]).digest()
                self._unseen.setdefault(model.path, []).append(found)
            elif model is not None and data[at:end] == model.content(self._contents, 0, stored):
                thing.lies_where(model)
            self._padding = -stored % _BLOCK
            after = end + self._padding
            if after <= len(data):
                self._padding = 0
                return after
            return self._pass_content(data, end)
        self._thing = thing
        self._content, self._padding = stored, -stored % _BLOCK
        return self._pass_content(data, at)

    def _pass_content(self, data: bytes, at: int) -> int:
        """Goes past what there is of a content and its padding, and returns where it ends."""
        if self._content:
            there = min(self._content, len(data) - at)
            model, thing = self._model, self._thing
            if model is not None and there and thing is not None:
                begin = thing.size - self._content
                if data[at : at + there] != model.content(self._contents, begin, there):
                    self._model = model = None
            at += there
            self._content -= there
            if self._content:
                return at
            if model is not None and thing is not None:
                thing.lies_where(model)
            self._model = None
        there = min(self._padding, len(data) - at)
        self._padding -= there
        return at + there

    def _forget(self) -> None:
        """What was said of one entry says nothing of the next."""
        self._records = _NO_RECORDS
        self._name = self._linkname = b""
        if self._pieces:
            self._pieces = []

    def _extend(self, flag: bytes, data: bytes) -> None:
        if flag == b"L":
            self._name = _text(data)
        elif flag == b"K":
            self._linkname = _text(data)
        elif flag == b"x":
            self._records = dict(self._records)
            at = 0
            while at < len(data):
                space = data.find(b" ", at)
                length = data[at:space]
                if space < 0 or not length.isdigit() or int(length) <= space - at:
                    raise Unreadable("a PAX record has no length")
                end = at + int(length) - 1
                if data[end : end + 1] != b"\n":
                    raise Unreadable("a PAX record does not end where it says")
                key, _, value = data[space + 1 : end].partition(b"=")
                if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                    self._pieces.append(int(value))
                self._records[key] = value
                at = end + 1

    def _sparse(
        self, block: bytes, flag: bytes, stored: int, data: bytes, at: int
    ) -> tuple[int, tuple[tuple[int, int], ...], int, int] | None:
        """The content's size, its pieces, how much of it is stored, and where that begins; None where not enough of the
        map is there yet."""
        records = self._records
        if flag == b"S":
            fields, more, size = [block[386:482]], block[482], self._number(block[483:495])
            while more:
                if len(data) - at < _BLOCK:
                    return None
                fields.append(data[at : at + 504])
                more = data[at + 504]
                at += _BLOCK
            text = b"".join(fields)
            numbers = [self._number(text[number : number + 12]) for number in range(0, len(text), 12)]
        elif records.get(b"GNU.sparse.major") == b"1":
            size = int(records[b"GNU.sparse.realsize"])
            lines = data[at:].split(b"\n")
            # The last one may go on.
            count = 1 + 2 * int(lines[0]) if len(lines) > 1 else 0
            if not count or len(lines) <= count:
                if len(data) - at > _EXTENSION_LIMIT:
                    raise Unreadable("a sparse file's map has no end")
                return None
            length = -(-(sum(map(len, lines[:count])) + count) // _BLOCK) * _BLOCK
            if len(data) - at < length:
                return None
            numbers = [int(line) for line in lines[1:count]]
            stored -= length
            at += length
        else:
            size = int(records[b"GNU.sparse.size"])
            texts = records[b"GNU.sparse.map"].split(b",") if b"GNU.sparse.map" in records else []
            numbers = [int(text) for text in texts if text] or self._pieces
        pieces = tuple((begin, length) for begin, length in zip(numbers[::2], numbers[1::2], strict=True) if length)
        if sum(length for _, length in pieces) != stored:
            raise Unreadable("a sparse file's map does not fit its size")
        return size, pieces, stored, at

    def _number(self, text: bytes) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = _number(text)
            if len(self._numbers) < _NUMBERS_LIMIT:
                self._numbers[text] = number
        return number


def digest_of(thing: Thing, contents: Contents) -> str:
    """The sha256 of a thing's content, reckoned once."""
    if thing.digest is None:
        digest = hashlib.sha256()
        for begin in range(0, thing.size, 1 << 20):
            digest.update(thing.content(contents, begin, min(1 << 20, thing.size - begin)))
        thing.digest = digest.hexdigest()
    return thing.digest


def canonical(name: bytes) -> bytes:
    """A path without what does not change its meaning."""
    return b"/".join(part for part in name.split(b"/") if part not in (b"", b"."))


def _is_canonical(name: bytes) -> bool:
    """Whether it surely has nothing of the kind."""
    return bool(name) and name[0] not in b"./" and name[-1] != _SLASH and b"/." not in name and b"//" not in name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _require_sum(block: bytes, total: int) -> None:
    """Raises Unreadable where the checksum is not `total`, which is spelt in some other way."""
    stated = _number(block[148:156])
    # Some old writers added signed bytes.
    if stated != total and stated != total - 256 * sum(byte > 127 for byte in block[:148] + block[156:]):
        raise Unreadable("a header has a wrong checksum")


def _number(text: bytes) -> int:
    """Octal, or base-256 where the first bit is set."""
    if text and text[0] & 0x80:
        # Two's complement of what the first bit leaves.
        bits = 8 * len(text) - 1
        number = int.from_bytes(text, "big") - (1 << bits)
        return number - (1 << bits) if text[0] & 0x40 else number
    digits = _text(text.lstrip(b" \0")).strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise Unreadable(f"{text!r} is no number") from error

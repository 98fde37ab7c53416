"""Tar headers, read and written byte-exactly: POSIX ustar and pax, and the GNU extensions that layers contain.

Python's tarfile decodes names and attribute values to text, rounds times to floats and re-emits sparse members wrongly;
a layer's names and extended attributes are bytes, and its times decimal strings. Formats: POSIX.1-2017 pax, "tar
Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from builders.errors import SquashError

BLOCK = 512
ZEROS = bytes(BLOCK)
LARGEST_HEADER = 16 << 20
"""Bytes of a long name or of pax records above which a header is a bomb, not a name."""

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_AS_REGULAR = {b"0", b"\0", b"7"}
_KNOWN = {HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO}
# Records that a header's own fields say, or that say nothing of the file.
_NOT_KEPT = (
    b"path",
    b"linkpath",
    b"size",
    b"uid",
    b"gid",
    b"uname",
    b"gname",
    b"mtime",
    b"atime",
    b"ctime",
    b"comment",
)
_OCTAL_7, _OCTAL_11 = 8**7 - 1, 8**11 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member. `mtime` is a decimal string of Unix seconds without trailing zeros; `pax` are the records that are no
    field here, extended attributes above all; `offset` is where the data begins in the stream, `size` its length."""

    name: bytes
    type: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: bytes = b"0"
    link: bytes = b""
    uname: bytes = b""
    gname: bytes = b""
    device: tuple[int, int] = (0, 0)
    pax: Mapping[bytes, bytes] = field(default_factory=dict)
    size: int = 0
    offset: int = 0


def members(stream: BinaryIO) -> Iterator[Member]:
    """The members of a tar; data is skipped by seeking where the stream can, else by reading.

    Raises SquashError (`layer-damaged`) for a truncated or malformed one, (`layer-sparse`) for a sparse member, whose
    bytes lie elsewhere than its size says.
    """
    position = 0
    pax: dict[bytes, bytes] = {}
    long_name = long_link = b""
    while True:
        header = _read(stream, BLOCK)
        position += BLOCK
        if header == ZEROS:
            return
        size = _number(header[124:136])
        kind = header[156:157]
        if _number(header[148:156]) != sum(header[:148]) + sum(b" " * 8) + sum(header[156:]):
            raise _damaged("a header's checksum is wrong")
        if kind in (b"x", b"g", b"L", b"K"):
            if size > LARGEST_HEADER:
                raise _damaged(f"a header of {size} bytes")
            data = _read(stream, _padded(size))[:size]
            position += _padded(size)
            if kind == b"x":
                pax.update(_records(data))
            elif kind == b"L":
                long_name = data.rstrip(b"\0")
            elif kind == b"K":
                long_link = data.rstrip(b"\0")
            continue
        member = _member(header, kind, size, pax, long_name, long_link, position)
        pax, long_name, long_link = {}, b"", b""
        yield member
        _skip(stream, _padded(member.size))
        position += _padded(member.size)


def header(member: Member) -> bytes:
    """The blocks before a member's data: a ustar header, with a pax header before it where ustar has no room."""
    records: dict[bytes, bytes] = dict(member.pax)
    name = member.name + (b"/" if member.type == DIRECTORY else b"")
    whole, _, fraction = member.mtime.partition(b".")
    seconds = int(whole)
    if len(name) > 100:
        records[b"path"] = name
    if len(member.link) > 100:
        records[b"linkpath"] = member.link
    if fraction or not 0 <= seconds <= _OCTAL_11:
        records[b"mtime"] = member.mtime
    for key, value, most in (
        (b"uid", member.uid, _OCTAL_7),
        (b"gid", member.gid, _OCTAL_7),
        (b"size", member.size, _OCTAL_11),
    ):
        if value > most:
            records[key] = str(value).encode()
    main = _ustar(member, name, seconds if 0 <= seconds <= _OCTAL_11 else 0)
    if not records:
        return main
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    extra = Member(name=b"PaxHeaders/" + name[:80].rstrip(b"/"), type=b"x", size=len(body))
    return _ustar(extra, extra.name, 0) + body + bytes(-len(body) % BLOCK) + main


def padding(size: int) -> bytes:
    """The zeros after so many bytes of data."""
    return bytes(-size % BLOCK)


END = ZEROS * 2
"""What a tar ends with."""


def _member(
    block: bytes, kind: bytes, size: int, pax: dict[bytes, bytes], long_name: bytes, long_link: bytes, offset: int
) -> Member:
    if kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in pax):
        sparse = _text(pax.get(b"path") or long_name or _c_string(block[:100]))
        raise SquashError(
            "layer-sparse",
            sparse,
            "a sparse member, which layers should not have",
            hint="build with --squash none, or from a base image without it",
        )
    name = pax.get(b"path") or long_name or _ustar_name(block)
    if kind in _AS_REGULAR:
        # Before POSIX a directory was a regular file whose name ended in a slash.
        kind = DIRECTORY if kind == b"\0" and name.endswith(b"/") else REGULAR
    elif kind not in _KNOWN:
        raise _damaged(f"{_text(name)} is of the unknown type {kind!r}")
    size = int(pax[b"size"]) if b"size" in pax else size
    return Member(
        name=name,
        type=kind,
        mode=_number(block[100:108]) & 0o7777,
        uid=int(pax[b"uid"]) if b"uid" in pax else _number(block[108:116]),
        gid=int(pax[b"gid"]) if b"gid" in pax else _number(block[116:124]),
        mtime=_decimal(pax[b"mtime"]) if b"mtime" in pax else str(_number(block[136:148])).encode(),
        link=pax.get(b"linkpath") or long_link or _c_string(block[157:257]),
        uname=pax.get(b"uname") or _c_string(block[265:297]),
        gname=pax.get(b"gname") or _c_string(block[297:329]),
        device=(_number(block[329:337]), _number(block[337:345])) if kind in (CHARACTER, BLOCK_DEVICE) else (0, 0),
        pax={key: value for key, value in pax.items() if key not in _NOT_KEPT and key != b"hdrcharset"},
        # Links and directories have no data, whatever their size field says.
        size=size if kind == REGULAR else 0,
        offset=offset,
    )


def _ustar_name(block: bytes) -> bytes:
    name = _c_string(block[:100])
    prefix = _c_string(block[345:500]) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _ustar(member: Member, name: bytes, seconds: int) -> bytes:
    fields = b"".join(
        (
            name[:100].ljust(100, b"\0"),
            _octal(member.mode, 8),
            _octal(min(member.uid, _OCTAL_7), 8),
            _octal(min(member.gid, _OCTAL_7), 8),
            _octal(min(member.size, _OCTAL_11), 12),
            _octal(seconds, 12),
            b" " * 8,
            member.type,
            member.link[:100].ljust(100, b"\0"),
            b"ustar\x0000",
            member.uname[:32].ljust(32, b"\0"),
            member.gname[:32].ljust(32, b"\0"),
            _octal(member.device[0], 8),
            _octal(member.device[1], 8),
        )
    ).ljust(BLOCK, b"\0")
    return fields[:148] + b"%06o\0 " % sum(fields) + fields[156:]


def _octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def _number(field: bytes) -> int:
    """Octal, or GNU's base-256 where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] == 0xFF else value
    text = field.strip(b" \0")
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise _damaged(f"{text!r} is no octal number") from None


def _records(data: bytes) -> dict[bytes, bytes]:
    """pax records: ``LENGTH KEY=VALUE\\n``; an empty value takes a record back."""
    found: dict[bytes, bytes] = {}
    while data.strip(b"\0"):
        digits, blank, _ = data.partition(b" ")
        if not blank or not digits.isdigit() or not len(digits) + 1 < int(digits) <= len(data):
            raise _damaged("a pax record has no length")
        record, data = data[len(digits) + 1 : int(digits)], data[int(digits) :]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise _damaged("a pax record has no value")
        found[key] = value[:-1]
    return {key: value for key, value in found.items() if value}


def _record(key: bytes, value: bytes) -> bytes:
    """The length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _decimal(text: bytes) -> bytes:
    whole, point, fraction = text.partition(b".")
    fraction = fraction.rstrip(b"0")
    if not (whole.lstrip(b"-").isdigit() and (fraction.isdigit() or not fraction)):
        raise _damaged(f"{text!r} is no time")
    return whole + point + fraction if fraction else whole


def _padded(size: int) -> int:
    return size + (-size % BLOCK)


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise _damaged("it ends in the middle of a member")
    return data


def _skip(stream: BinaryIO, size: int) -> None:
    if stream.seekable():
        stream.seek(size, 1)
        return
    while size:
        size -= len(_read(stream, min(size, 1 << 20)))


def _c_string(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def _damaged(what: str) -> SquashError:
    return SquashError("layer-damaged", "layer", f"not a readable tar: {what}", hint="build the image again")

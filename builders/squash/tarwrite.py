"""Tar headers, written the same way on every machine: ustar, with a PAX header only for what ustar cannot hold."""

from __future__ import annotations

import zlib

from builders.squash.member import Kind, Member
from builders.squash.tarbytes import BLOCK

END = bytes(2 * BLOCK)
_FLAGS = {
    Kind.FILE: b"0",
    Kind.HARDLINK: b"1",
    Kind.SYMLINK: b"2",
    Kind.CHARACTER: b"3",
    Kind.BLOCK: b"4",
    Kind.DIRECTORY: b"5",
    Kind.FIFO: b"6",
}
_FRONT = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0"
_OCTAL_7, _OCTAL_11 = 8**7, 8**11
_MTIME_DIGITS = 11  # less than 8**11
_BACKS_LIMIT = 1000
_backs: dict[tuple[Kind, bytes, bytes, bytes], tuple[bytes, int]] = {}
"""What follows the checksum, and the sum of its bytes, by type, link and owners' names; there are few of those."""
_NAME_FIELD = 100
_OWNER_FIELD = 31


def header(member: Member) -> bytes:
    """Header blocks for `member` under its own path: a PAX header first, where needed."""
    return _plain_header(member) or _any_header(member)


def _plain_header(member: Member) -> bytes | None:
    """The one block of an entry that ustar can hold, as nearly all are; None for others. The same bytes as those of
    `_any_header`, at a third of the time."""
    path, link, size = member.path, member.link, member.size
    seconds = int(member.mtime) if len(member.mtime) <= _MTIME_DIGITS and member.mtime.isdigit() else -1
    is_folder = member.kind is Kind.DIRECTORY
    if (
        not 0 < len(path) < _NAME_FIELD
        or len(link) > _NAME_FIELD
        or member.records
        or not 0 <= member.uid < _OCTAL_7
        or not 0 <= member.gid < _OCTAL_7
        or size >= _OCTAL_11
        or not 0 <= seconds < _OCTAL_11
        or member.device != (0, 0)
    ):
        return None
    name = path + b"/" if is_folder else path
    front = _FRONT % (
        name.ljust(_NAME_FIELD, b"\0"),
        member.mode,
        member.uid,
        member.gid,
        size if member.kind is Kind.FILE else 0,
        seconds,
    )
    key = (member.kind, link, member.uname, member.gname)
    known = _backs.get(key)
    if known is None:
        if len(member.uname) > _OWNER_FIELD or len(member.gname) > _OWNER_FIELD:
            return None
        parts = _FLAGS[member.kind], link.ljust(_NAME_FIELD, b"\0"), b"ustar\x0000"
        owner = member.uname.ljust(32, b"\0") + member.gname.ljust(32, b"\0")
        back = b"".join((*parts, owner, b"0000000\0" * 2)).ljust(BLOCK - 156, b"\0")
        known = back, sum(back) + 8 * 0x20
        if not link and len(_backs) < _BACKS_LIMIT:
            _backs[key] = known
    back, total = known
    # Adler-32's lower half, begun at 0, is the sum of bytes, of so few as these.
    return b"%b%06o\0 %b" % (front, total + (zlib.adler32(front, 0) & 0xFFFF), back)


def _any_header(member: Member) -> bytes:
    name = member.path + b"/" if member.kind is Kind.DIRECTORY else member.path
    if member.path == b"":
        name = b"./"
    pax = dict(member.records)
    fields = (
        _text(name, _NAME_FIELD, b"path", pax),
        _octal(member.mode, 8, b"", pax),
        _octal(member.uid, 8, b"uid", pax),
        _octal(member.gid, 8, b"gid", pax),
        _octal(member.size if member.kind is Kind.FILE else 0, 12, b"size", pax),
        _time(member.mtime, pax),
    )
    link = _text(member.link, _NAME_FIELD, b"linkpath", pax)
    owner = _text(member.uname, 32, b"uname", pax, _OWNER_FIELD) + _text(member.gname, 32, b"gname", pax, _OWNER_FIELD)
    devices = b"".join(_device(number) for number in member.device)
    block = _sealed(b"".join(fields), _FLAGS[member.kind], link, owner, devices)
    return (_pax_header(pax) if pax else b"") + block


def padding(size: int) -> bytes:
    """The zeros after `size` bytes of content."""
    return bytes(-size % BLOCK)


def _sealed(front: bytes, flag: bytes, link: bytes, owner: bytes, devices: bytes) -> bytes:
    block = front + b" " * 8 + flag + link + b"ustar\x0000" + owner + devices
    block = block.ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax_header(pax: dict[bytes, bytes]) -> bytes:
    data = b"".join(_record(key, value) for key, value in sorted(pax.items()))
    front = b"".join(
        (
            b"././@PaxHeader".ljust(_NAME_FIELD, b"\0"),
            *(_octal(number, 8, b"", pax) for number in (0o644, 0, 0)),
            _octal(len(data), 12, b"", pax),
            _octal(0, 12, b"", pax),
        )
    )
    empty = bytes(_NAME_FIELD), bytes(64), b"0000000\0" * 2
    return _sealed(front, b"x", *empty) + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n``; LENGTH counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _text(value: bytes, width: int, key: bytes, pax: dict[bytes, bytes], limit: int | None = None) -> bytes:
    if len(value) > (width if limit is None else limit):
        pax[key] = value
    return value[: width if limit is None else limit].ljust(width, b"\0")


def _octal(value: int, width: int, key: bytes, pax: dict[bytes, bytes]) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    pax[key] = b"%d" % value
    return b"%0*o\0" % (width - 1, 0)


def _time(mtime: str, pax: dict[bytes, bytes]) -> bytes:
    if "." in mtime:
        pax[b"mtime"] = mtime.encode()
        mtime = str(max(0, int(mtime.partition(".")[0] or "0")))
    return _octal(int(mtime), 12, b"mtime", pax)


def _device(number: int) -> bytes:
    """Octal, or base-256 for the numbers that POSIX has no record for."""
    return b"%07o\0" % number if 0 <= number < 8**7 else b"\x80" + number.to_bytes(7, "big")

"""One entry of a layer, in bytes throughout: names need not be UTF-8, and attributes are binary."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from builders.errors import SquashError

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS = b".wh..wh."  # what AUFS kept for itself; the opaque marker is the only one that means something
AUFS_LINKS = b".wh..wh.plnk"
DEPTH_LIMIT = 400  # folders; the system's own limit on a path's length allows about 2,000


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "fifo"


@dataclass(kw_only=True, slots=True)
class Member:
    """An entry as a layer's tar has it. Nobody changes one; it is not frozen because a frozen one takes as long to make
    as all else that is done to an entry.

    `path` is canonical: no leading, trailing or doubled slash, no ``.``; the root is empty. `mtime` is the decimal
    string of the seconds. `link` is a symlink's text as it stands, or a hard link's canonical path. `records` are the
    PAX records that are not told elsewhere (``SCHILY.xattr.…``), sorted. The content is `size` bytes in the file
    `source` from `offset` on (bytes where its name comes from a layer, None where nothing is stored); where `sparse` is
    given, its pairs (offset in the content, length) say where the stored pieces belong, and all else is zeros.
    """

    path: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: str
    uname: bytes = b""
    gname: bytes = b""
    link: bytes = b""
    size: int = 0
    device: tuple[int, int] = (0, 0)
    records: tuple[tuple[bytes, bytes], ...] = ()
    source: Path | bytes | None = None
    offset: int = 0
    sparse: tuple[tuple[int, int], ...] | None = None

    @property
    def name(self) -> bytes:
        """The last part of the path."""
        return self.path.rpartition(b"/")[2]

    @property
    def parent(self) -> bytes:
        """The path without its last part."""
        return self.path.rpartition(b"/")[0]


def canonical_path(raw: bytes, subject: str) -> bytes:
    """`raw` without what does not change its meaning. Raises SquashError ``unsafe-path`` for ``..`` and NUL."""
    if raw and raw[0] not in b"./" and b"/." not in raw and b"//" not in raw and b"\0" not in raw:
        path = raw[:-1] if raw[-1] == 47 else raw  # a slash
        if path.count(b"/") < DEPTH_LIMIT:
            return path
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    if b".." in parts or b"\0" in raw:
        raise SquashError("unsafe-path", subject, f"the name {shown(raw)} leads out of the layer")
    if len(parts) > DEPTH_LIMIT:
        raise SquashError("path-too-deep", subject, f"{shown(raw[:80])}… is more than {DEPTH_LIMIT} folders deep")
    return b"/".join(parts)


def shown(path: bytes) -> str:
    """A path as a message shows it: with a leading slash, bytes that are not UTF-8 and what would move a terminal's
    cursor escaped."""
    return "/" + printable(path.decode("utf-8", "backslashreplace").lstrip("/"))


def printable(text: str) -> str:
    """Text out of an image as a terminal may have it: escape sequences and the like as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)

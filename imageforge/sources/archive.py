"""A build context as one file: unpacked when it comes from elsewhere, packed when it goes there."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imageforge.errors import ForgeError, StackError
from imageforge.sources.compression import Stream
from imageforge.sources.dockerignore import NAME, OUTSIDE, Ignore, inside
from imageforge.sources.errors import SourceFailed, SourceRefused
from imageforge.sources.landing import Landing
from imageforge.sources.links import check_link, refuse_escaping_links
from imageforge.sources.tar import EntryKind, TarEntry, TarReader
from imageforge.sources.tree import CHUNK, Leaf, walk

_HEADERS = 4096
"""Bytes of headers and padding that an entry may take before they count as content."""
_FROM_ARCHIVE = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.EFBIG}
"""What the system says of a name or size that it cannot have: the archive's fault, not the disk's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What an archive may unpack to: bytes of content, entries, decompressed to compressed bytes, bytes of a name."""

    bytes: int = 2 << 30
    files: int = 200_000
    ratio: int = 200
    path_length: int = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpacked:
    """What came out: files and links (folders are not counted), and their bytes."""

    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """The archive that was written: its own "sha256:…" and size, and how many files and links are in it."""

    digest: str
    files: int
    bytes: int


def unpack(file: Path, into: Path, limits: Limits = Limits()) -> Unpacked:
    """Unpack a tar, plain or in gzip, bzip2, xz (zstd from Python 3.14 on), to the folder `into`, which is made.

    Modes become 0644 or 0755, owners the caller's; times stay. Raises SourceRefused with `archive-unreadable`,
    `archive-traversal`, `archive-too-big`, `archive-bomb`, `archive-special-file` or `archive-empty`, and
    where this machine is at fault StackError (`disk-full`) or SourceFailed (`archive-unwritable`). Nothing is left of
    `into` then.
    """
    subject = file.name
    try:
        raw = file.open("rb")
    except OSError as error:
        raise SourceFailed("archive-unreadable", subject, str(error), hint="check that the file is there") from error
    with raw:
        try:
            into.mkdir(mode=0o755)
        except OSError as error:
            raise SourceFailed("archive-unwritable", str(into), str(error), hint="name a new folder") from error
        try:
            if not raw.read(1):
                raise _empty(subject)
            raw.seek(0)
            return _Unpacking(raw, into, subject, limits).run()
        except OSError as error:
            shutil.rmtree(into)
            if error.errno in _FROM_ARCHIVE:
                raise SourceRefused("archive-unreadable", subject, str(error), hint="shorten the names") from error
            raise _unwritable(into, error) from error
        except BaseException:
            shutil.rmtree(into)
            raise


def _unwritable(into: Path, error: OSError) -> ForgeError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = error.strerror or str(error)
        return StackError("disk-full", str(into), reason, hint="make room, then build again", kept="nothing was built")
    return SourceFailed("archive-unwritable", str(into), str(error), hint="check the folder's owner and the disk")


def pack(folder: Path, out: BinaryIO, *, dockerfile: Path | None = None, also: Iterable[str] = ()) -> Packed:
    """Write the context as a tar.gz whose bytes depend on the content alone (and on zlib's version).

    Without `.git` and what the .dockerignore leaves out, but always with the Dockerfile, the .dockerignore and
    imageforge.toml, and with the files `also`. A relative `dockerfile` is relative to the folder; one from outside goes
    in as `.imageforge/Dockerfile`, with its own .dockerignore beside it. Raises SourceRefused (`archive-traversal`,
    `dockerignore-invalid`) and SourceFailed (`context-unreadable`, `context-changed`).
    """
    ignore = Ignore.read(folder, dockerfile, also=also)
    counted = _Counted(out)
    files = 0
    with gzip.GzipFile(filename="", mode="wb", fileobj=counted, mtime=0, compresslevel=6) as packed:
        for leaf in _leaves(folder, ignore):
            if leaf.kind == "link":
                check_link(folder, leaf.path, leaf.target, str(folder))
            _append(packed, leaf)
            files += leaf.kind != "folder"
        packed.write(bytes(2 * tarfile.BLOCKSIZE))
    return Packed(digest=f"sha256:{counted.digest.hexdigest()}", files=files, bytes=counted.count)


class _Unpacking:
    """One run over an archive, and what it has used up of the limits."""

    def __init__(self, raw: BinaryIO, into: Path, subject: str, limits: Limits) -> None:
        self._limits = limits
        self._subject = subject
        ceiling = limits.bytes + limits.files * _HEADERS + (1 << 20)
        self._stream = Stream(raw, subject=subject, ratio=limits.ratio, ceiling=ceiling)
        self._tar = TarReader(self._stream)
        self._landing = Landing(into, subject=subject, path_length=limits.path_length)
        self._bytes = 0

    def run(self) -> Unpacked:
        files = 0
        for count, entry in enumerate(self._tar.entries(), 1):
            if count > self._limits.files:
                raise self._too_big(f"has more than {self._limits.files} entries")
            files += self._take(entry)
        self._stream.drain()
        if not files:
            raise _empty(self._subject)
        refuse_escaping_links(self._landing.root, self._subject)
        self._landing.finish()
        return Unpacked(files=files, bytes=self._bytes)

    def _take(self, entry: TarEntry) -> bool:
        """Whether it was something other than a folder."""
        path = self._landing.place(entry.name)
        match entry.kind:
            case EntryKind.FOLDER:
                if path != self._landing.root:
                    self._landing.folder(path, entry.mtime)
                return False
            case EntryKind.FILE:
                # A hole takes no room here, but whoever reads or packs the file next pays for it.
                self._count(entry.size - sum(length for _, length in entry.segments))
                self._landing.file(path, entry, self._piece)
            case EntryKind.LINK:
                self._landing.link(path, entry.target, entry.mtime)
            case EntryKind.HARD_LINK:
                # It counts in full: 200,000 names of one large file are as many files to whoever reads them.
                self._count(self._landing.hard_link(path, entry.target, entry.mtime))
            case EntryKind.SPECIAL:
                raise SourceRefused(
                    "archive-special-file",
                    self._subject,
                    f"{ascii(entry.name)[:200]} is neither a file, a folder nor a link",
                    hint="leave out devices, pipes and sockets",
                )
        return True

    def _piece(self, size: int) -> bytes:
        piece = self._tar.take(size)
        self._count(len(piece))
        return piece

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.bytes:
            raise self._too_big(f"unpacks to more than {self._limits.bytes} bytes")

    def _too_big(self, problem: str) -> SourceRefused:
        return SourceRefused("archive-too-big", self._subject, problem, hint="leave files out with a .dockerignore")


class _Counted:
    """Passes bytes on, with their count and digest."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.count = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._out.write(data)
        self.digest.update(data)
        self.count += len(data)
        return len(data)

    def flush(self) -> None:
        self._out.flush()


def _leaves(folder: Path, ignore: Ignore) -> Iterator[Leaf]:
    extra = dict(_from_outside(folder, ignore))
    yield from extra.values()
    for leaf in walk(folder, ignore):
        if leaf.name not in extra:
            yield leaf


def _from_outside(folder: Path, ignore: Ignore) -> Iterator[tuple[str, Leaf]]:
    for path, name in ((ignore.dockerfile, OUTSIDE), (ignore.file, OUTSIDE + NAME)):
        if path and inside(folder, path) is None:
            yield name, Leaf(name=name, path=path, kind="file")


def _append(out: gzip.GzipFile, leaf: Leaf) -> None:
    info = tarfile.TarInfo(leaf.name)
    info.mode = 0o755 if leaf.executable or leaf.kind == "folder" else 0o644
    if leaf.kind != "file":
        info.type, info.linkname = (tarfile.DIRTYPE, "") if leaf.kind == "folder" else (tarfile.SYMTYPE, leaf.target)
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        return
    try:
        source = leaf.path.open("rb")
    except OSError as error:
        raise SourceFailed("context-unreadable", str(leaf.path), str(error), hint="check its permissions") from error
    with source:
        left = info.size = os.fstat(source.fileno()).st_size
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        while left:
            data = source.read(min(left, CHUNK))
            if not data:
                raise SourceFailed(
                    "context-changed", str(leaf.path), "became shorter while it was packed", hint="try again"
                )
            out.write(data)
            left -= len(data)
        out.write(bytes(-info.size % tarfile.BLOCKSIZE))


def _empty(subject: str) -> SourceRefused:
    return SourceRefused("archive-empty", subject, "holds no file", hint="pack the folder that has the Dockerfile")

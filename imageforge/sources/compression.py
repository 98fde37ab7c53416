"""The bytes inside a compressed file, counted as they come: what a header claims is never believed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from typing import BinaryIO, Protocol

from imageforge.sources.errors import SourceRefused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK = 1 << 16
_XZ_MEMORY = 256 << 20
"""An xz header may ask for a dictionary of 4 GiB; `xz -9` asks for 65 MiB."""
_RATIO_GRACE = 16 << 20
"""A small tar is mostly padding and reaches any ratio, and 16 MiB hurt nobody."""
_BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstd.ZstdError)


class Stream:
    """A file's decompressed bytes, read once from the beginning to the end.

    `ceiling` is in bytes and counts all that comes out; `ratio` is decompressed to compressed bytes.
    """

    def __init__(self, raw: BinaryIO, *, subject: str, ratio: int, ceiling: int) -> None:
        self.subject = subject
        self._raw = raw
        self._ratio = ratio
        self._ceiling = ceiling
        self._count = 0
        self._source = _decompressor(raw)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end. `size` is the caller's, and bounds the memory."""
        parts: list[bytes] = []
        while size > 0:
            try:
                part = self._source.read(min(size, _CHUNK))
            except _BROKEN as error:
                raise SourceRefused(
                    "archive-unreadable",
                    self.subject,
                    f"damaged or cut short: {error}",
                    hint="upload it again; `gzip -t` or `xz -t` tells whether the file is whole",
                ) from error
            if not part:
                break
            self._counted(len(part))
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def exactly(self, size: int) -> bytes:
        """`size` bytes, or the archive was cut short."""
        data = self.read(size)
        if len(data) < size:
            raise SourceRefused(
                "archive-unreadable", self.subject, "the archive ends in the middle", hint="upload it again"
            )
        return data

    def drain(self) -> None:
        """Read what is left, so that the checksum at the end gets compared."""
        while self.read(_CHUNK):
            pass

    def _counted(self, size: int) -> None:
        self._count += size
        if self._count > self._ceiling:
            raise SourceRefused(
                "archive-too-big",
                self.subject,
                f"unpacks to more than {self._ceiling} bytes, headers included",
                hint="leave files out with a .dockerignore",
            )
        if self._count > _RATIO_GRACE and self._count > self._ratio * max(1, self._raw.tell()):
            raise SourceRefused(
                "archive-bomb",
                self.subject,
                f"unpacks to more than {self._ratio} times its size",
                hint="leave out files that are long runs of the same byte, and make them in the build",
            )


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _decompressor(raw: BinaryIO) -> _Readable:
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    if magic == b"\xfd7zXZ\0":
        return _Xz(raw)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return zstd.ZstdFile(raw)
    return raw


class _Xz:
    """lzma.LZMAFile knows no memory limit, the decompressor below it does."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._inner = self._fresh()

    def read(self, size: int, /) -> bytes:
        while True:
            data = b""
            if self._inner.eof:
                data = (self._inner.unused_data or self._raw.read(_CHUNK)).lstrip(b"\0")
                if not data and not (data := self._raw.read(_CHUNK).lstrip(b"\0")):
                    return b""
                self._inner = self._fresh()
            elif self._inner.needs_input and not (data := self._raw.read(_CHUNK)):
                raise EOFError("the last stream has no end")
            if out := self._inner.decompress(data, size):
                return out

    @staticmethod
    def _fresh() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

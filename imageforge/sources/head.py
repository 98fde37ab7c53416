"""Whether the beginning of an upload can be that of an archive: told at once, instead of by a build that fails."""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable
from typing import Protocol

HEAD = 1 << 16
"""Bytes that are looked at; an archive that is no longer than this is looked at to its end."""
_BLOCK = 512
_PIECE = 1 << 16
_MOST = 1 << 28
"""Decompressed bytes after which no more is looked at: unpacking has limits of its own."""
_XZ_MEMORY = 256 << 20


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's, with the face that bz2's and lzma's have."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, most: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, most)


_KINDS: tuple[tuple[bytes, str, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b", "gzip", _Gzip),
    (b"BZh", "bzip2", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\0", "xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
)
_ZSTD = b"\x28\xb5\x2f\xfd"
"""Only later Pythons read it, so unpacking says whether it can be."""


def wrong_with(head: bytes, *, whole: bool) -> str | None:
    """What shows that this is no tar archive, plain or compressed, or one that was cut short; None where nothing does.

    `head` is the first HEAD bytes, or all there are, which `whole` says.
    """
    if not head:
        return "it is empty"
    if head.startswith(_ZSTD):
        return None
    for magic, name, make in _KINDS:
        if head.startswith(magic):
            return _compressed(head, name, make, whole=whole)
    return _plain(head, "it")


def _compressed(head: bytes, name: str, make: Callable[[], _Decompressor], *, whole: bool) -> str | None:
    found, size, rest, stream = b"", 0, head, make()
    try:
        while size < _MOST:
            piece = stream.decompress(rest, _PIECE)
            found, size, rest = (found + piece)[:_BLOCK], size + len(piece), b""
            if stream.eof:
                rest = stream.unused_data.lstrip(b"\0")  # what tape drives filled up
                if not rest:
                    break
                stream = make()  # another member
            elif not piece:
                if whole:
                    return f"its {name} data ends in the middle"
                break
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        return f"its {name} data is damaged: {error}"
    # What is not whole may hold too little of itself to tell, behind a long header of gzip's.
    return None if len(found) < _BLOCK and not whole else _plain(found, f"what is compressed in it with {name}")


def _plain(head: bytes, what: str) -> str | None:
    block = head[:_BLOCK]
    if not block.strip(b"\0"):
        return f"{what} holds no files" if len(block) == _BLOCK else f"{what} is no tar archive"
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return f"{what} is no tar archive"
    return None

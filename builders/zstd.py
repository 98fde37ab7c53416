"""zstd: the standard library's module of Python 3.14, and what it was made from for those before it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"\x28\xb5\x2f\xfd"
VERSION = zstd.zstd_version
ZstdError = zstd.ZstdError
_PIECE = 1 << 20
_WINDOW_LOG = 27
"""What unpacking may take of memory, as a power of two: 128 MiB, what `zstd -d` takes without being told more."""


def pack(plain: bytes, level: int) -> bytes:
    """A frame, with its content's size and checksum."""
    parameters = zstd.CompressionParameter
    packer = zstd.ZstdCompressor(options={parameters.compression_level: level, parameters.checksum_flag: 1})
    return packer.compress(plain, zstd.ZstdCompressor.FLUSH_FRAME)


def unpack(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of one or more frames, in pieces of bounded size, however small what they come from.

    Raises ZstdError where they are none, EOFError where they end early.
    """
    reader, begun = _reader(), False
    for piece in pieces:
        rest = piece
        while rest:
            if reader.eof:
                reader, begun = _reader(), False
            begun = True
            if out := reader.decompress(rest, _PIECE):
                yield out
            while not reader.eof and not reader.needs_input:
                if out := reader.decompress(b"", _PIECE):
                    yield out
            rest = reader.unused_data if reader.eof else b""
    if begun and not reader.eof:
        raise EOFError("the last zstd frame has no end")


def unpack_file(path: Path) -> Iterator[bytes]:
    """As `unpack`, of a file's bytes."""
    with path.open("rb") as file:
        yield from unpack(iter(lambda: file.read(_PIECE), b""))


def _reader() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})

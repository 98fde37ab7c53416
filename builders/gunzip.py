"""gzip unpacked as it comes: one or more members, in pieces of bounded size, however small what they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

from isal import igzip_lib, isal_zlib

GzipError = cast(type[Exception], igzip_lib.IsalError)  # its stub calls it an instance
_WINDOW = 31  # 15 bits of window and a gzip frame
_PIECE = 1 << 20
_READ = 128 << 10
"""Bytes of a file at a time: what is behind a member's end is copied, and layers have a member for each larger file."""


def unpack(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content. Raises GzipError where it is none, EOFError where it ends early."""
    reader, begun = isal_zlib.decompressobj(_WINDOW), False
    for piece in pieces:
        rest = piece
        while rest:
            if reader.eof:
                rest = rest.lstrip(b"\0")  # tar's blocks, and some writers, pad with zeros
                if not rest:
                    break
                reader = isal_zlib.decompressobj(_WINDOW)
            begun = True
            out = reader.decompress(rest, _PIECE)
            rest = reader.unused_data if reader.eof else reader.unconsumed_tail
            if out:
                yield out
        while begun and not reader.eof and (out := reader.decompress(b"", _PIECE)):
            yield out
    if not reader.eof:
        raise EOFError("the last gzip member has no end")


def unpack_file(path: Path) -> Iterator[bytes]:
    """As `unpack`, of a file's bytes."""
    with path.open("rb") as file:
        yield from unpack(iter(lambda: file.read(_READ), b""))

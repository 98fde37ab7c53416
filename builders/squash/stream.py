"""Pieces as one stream of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builders.squash.contents import Contents
from builders.squash.pieces import Content, Piece

CHUNK = 1 << 20


def stream(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The bytes that pieces amount to, small ones joined: each of the results but the last has a mebibyte or so. Raises
    OSError and SquashError ``layer-damaged`` where a content is gone, or shorter than said."""
    waiting: list[bytes] = []
    size = 0
    with Contents() as contents:
        for piece in pieces:
            for data in contents.blocks(piece, CHUNK) if isinstance(piece, Content) else (piece,):
                waiting.append(data)
                size += len(data)
                if size >= CHUNK:
                    yield b"".join(waiting)
                    waiting.clear()
                    size = 0
    if waiting:
        yield b"".join(waiting)

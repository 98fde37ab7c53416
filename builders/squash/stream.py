"""Pieces as one stream of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from builders.squash.contents import Contents
from builders.squash.pieces import Content, Piece

CHUNK = 1 << 20


def stream(pieces: Iterable[Piece], on_content: Callable[[Content, bytes], None] | None = None) -> Iterator[bytes]:
    """The bytes that pieces amount to, small ones joined: each of the results but the last has a mebibyte or so.
    `on_content` is given the contents of a mebibyte at most, as they are read. Raises OSError and SquashError
    ``layer-damaged`` where a content is gone, or shorter than said."""
    waiting: list[bytes] = []
    size = 0
    with Contents() as contents:
        for piece in pieces:
            if not isinstance(piece, Content):
                blocks: Iterable[bytes] = (piece,)
            elif piece.size > CHUNK:
                blocks = contents.blocks(piece, CHUNK)
            else:
                data = contents.read(piece)
                blocks = (data,)
                if on_content is not None:
                    on_content(piece, data)
            for data in blocks:
                waiting.append(data)
                size += len(data)
                if size >= CHUNK:
                    yield b"".join(waiting)
                    waiting.clear()
                    size = 0
    if waiting:
        yield b"".join(waiting)

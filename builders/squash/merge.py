"""Writing the merged layer: the entries of a plan, with their contents out of the source layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from builders.errors import SquashError
from builders.squash.blobs import FEED, BlobWriter
from builders.squash.member import Kind, Member, shown
from builders.squash.tarwrite import END, header, padding


def write_layer(members: Iterable[Member], writer: BlobWriter, check: Callable[[], None]) -> None:
    """Writes `members` in their order as one tar. `check` is called between pieces of content, and may raise."""
    with _Sources() as sources:
        for member in members:
            writer.write(header(member))
            if member.kind is Kind.FILE and member.size:
                for piece in _content(member, sources):
                    check()
                    writer.write(piece)
                writer.write(padding(member.size))
    writer.write(END)


class _Sources:
    """The source layers, each opened once."""

    def __init__(self) -> None:
        self._open: dict[Path, BinaryIO] = {}

    def __enter__(self) -> _Sources:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def read(self, member: Member, offset: int, length: int) -> Iterator[bytes]:
        """`length` bytes of the member's stored content from `offset` on."""
        assert member.source is not None
        file = self._open.get(member.source)
        if file is None:
            file = self._open[member.source] = member.source.open("rb")
        file.seek(member.offset + offset)
        while length:
            piece = file.read(min(length, FEED))
            if not piece:
                raise SquashError("layer-damaged", shown(member.path), "its content ends early")
            length -= len(piece)
            yield piece


def _content(member: Member, sources: _Sources) -> Iterator[bytes]:
    """All bytes of a file; the holes of a sparse one as zeros."""
    if member.sparse is None:
        yield from sources.read(member, 0, member.size)
        return
    position = stored = 0
    for offset, length in member.sparse:
        yield from _zeros(offset - position)
        yield from sources.read(member, stored, length)
        stored += length
        position = offset + length
    yield from _zeros(member.size - position)


def _zeros(count: int) -> Iterator[bytes]:
    while count:
        piece = bytes(min(count, FEED))
        count -= len(piece)
        yield piece

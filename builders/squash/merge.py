"""Writing the merged layer: the entries of a plan, with their contents out of the source layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from builders.squash.blobs import FEED, BlobWriter
from builders.squash.contents import Contents
from builders.squash.member import Kind, Member
from builders.squash.pieces import Content
from builders.squash.tarwrite import END, header, padding


def write_layer(members: Iterable[Member], writer: BlobWriter, check: Callable[[], None]) -> None:
    """Writes `members` in their order as one tar. `check` is called between pieces of content, and may raise."""
    with Contents() as sources:
        for member in members:
            writer.write(header(member))
            if member.kind is Kind.FILE and member.size:
                for piece in _content(member, sources):
                    check()
                    writer.write(piece)
                writer.write(padding(member.size))
    writer.write(END)


def _content(member: Member, sources: Contents) -> Iterator[bytes]:
    """All bytes of a file; the holes of a sparse one as zeros."""
    if member.sparse is None:
        yield from _stored(member, 0, member.size, sources)
        return
    position = stored = 0
    for offset, length in member.sparse:
        yield from _zeros(offset - position)
        yield from _stored(member, stored, length, sources)
        stored += length
        position = offset + length
    yield from _zeros(member.size - position)


def _stored(member: Member, offset: int, length: int, sources: Contents) -> Iterator[bytes]:
    assert member.source is not None
    yield from sources.chunks(Content(path=member.source, offset=member.offset + offset, size=length))


def _zeros(count: int) -> Iterator[bytes]:
    while count:
        piece = bytes(min(count, FEED))
        count -= len(piece)
        yield piece

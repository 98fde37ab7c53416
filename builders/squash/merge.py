"""The merged layer: the entries of a plan as one tar, with their contents where they lie in the source layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builders.squash.member import Kind, Member
from builders.squash.pieces import Content, Piece
from builders.squash.tarwrite import END, header, padding

_HOLE = bytes(1 << 20)


def write_layer(members: Iterable[Member]) -> Iterator[Piece]:
    """The tar of `members`, in their order."""
    for member in members:
        yield header(member)
        if member.kind is Kind.FILE and member.size:
            yield from _content(member)
            yield padding(member.size)
    yield END


def _content(member: Member) -> Iterator[Piece]:
    """A file's content; the holes of a sparse one as zeros."""
    if member.sparse is None:
        yield _stored(member, 0, member.size)
        return
    position = stored = 0
    for offset, length in member.sparse:
        yield from _zeros(offset - position)
        yield _stored(member, stored, length)
        stored += length
        position = offset + length
    yield from _zeros(member.size - position)


def _stored(member: Member, offset: int, length: int) -> Content:
    assert member.source is not None
    return Content(path=member.source, offset=member.offset + offset, size=length)


def _zeros(count: int) -> Iterator[bytes]:
    while count:
        piece = _HOLE[:count]
        count -= len(piece)
        yield piece

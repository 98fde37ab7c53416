"""The merged layer: the entries of a plan as one tar, with their contents where they lie in the source layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builders.squash.contents import Contents
from builders.squash.member import Kind, Member
from builders.squash.pieces import Content, Piece
from builders.squash.tarbytes import BLOCK
from builders.squash.tarwrite import END, header, padding

_SMALL = 64 << 10  # bytes; larger ones are members of their own
_JOINED = 128 << 10
_HOLE = bytes(1 << 20)


def write_layer(members: Iterable[Member]) -> Iterator[Piece]:
    """The tar of `members`, in their order. Small contents are read here, and come joined with what is around them.
    Raises OSError and SquashError ``layer-damaged`` where one is gone, or shorter than said."""
    waiting: list[bytes] = []
    size = 0
    with Contents() as contents:
        for member in members:
            waiting.append(header(member))
            size += BLOCK
            if member.kind is Kind.FILE and member.size:
                if member.size < _SMALL and member.sparse is None:
                    assert member.source is not None
                    waiting.append(contents.span(member.source, member.offset, member.size))
                    size += member.size
                else:
                    yield b"".join(waiting)
                    waiting.clear()
                    size = 0
                    yield from _content(member)
                waiting.append(padding(member.size))
            if size >= _JOINED:
                yield b"".join(waiting)
                waiting.clear()
                size = 0
    yield b"".join((*waiting, END))


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

"""A layer's tar as a sequence of pieces: small things as they are, the contents of its files by reference.

Whoever reads a layer gives it so, from wherever its bytes lie; whoever packs it reads each content once, and not at all
where its packed bytes are known already. The pieces put together are the tar, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(kw_only=True, slots=True, unsafe_hash=True)
class Content:
    """The content of a regular file: `size` bytes from `offset` on of what is at `path`, whole or in part. Nobody
    changes one; it is not frozen because a frozen one takes thrice as long to make.

    `path` is bytes where the name comes from a layer and need not be text.
    """

    path: Path | bytes
    offset: int
    size: int


Piece = bytes | Content


def length(piece: Piece) -> int:
    """How many bytes of the tar a piece is."""
    return piece.size if isinstance(piece, Content) else len(piece)

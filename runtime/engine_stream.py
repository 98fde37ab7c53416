"""The engine's own framing of a program's two streams: a head of eight bytes, which are stream, three zeros, length."""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

StreamName = Literal["stdout", "stderr"]

_HEAD = struct.Struct(">BxxxI")
_STDERR = 2


def read_frame(stream: BinaryIO) -> tuple[StreamName, bytes] | None:
    """The next piece of output; None at its end, also in the middle of a frame: the engine is gone then."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    number, size = _HEAD.unpack(head)
    data = stream.read(size)
    if len(data) < size:
        return None
    return ("stderr" if number == _STDERR else "stdout"), data

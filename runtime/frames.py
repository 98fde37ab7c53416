"""What crosses the controller's socket once a connection carries a program's input and output: binary frames.

A frame is a byte that says what it is, four with its length, and that many more. The caller sends input only as far as
it was given credit for, so that what steers the program never waits behind input that it does not take.
"""

from __future__ import annotations

import struct
from enum import IntEnum

LARGEST = 64 * 1024
"""Bytes in one frame."""
WINDOW = 256 * 1024
"""Bytes of input that may be under way."""
_HEAD = struct.Struct(">BI")
_SIZE = struct.Struct(">HH")


class FrameKind(IntEnum):
    """What a frame holds. From the caller: input, its end, the size of the terminal, a signal by name. To the caller:
    output, how many bytes of input were taken, the exit code, or an error as JSON."""

    INPUT = 1
    END = 2
    SIZE = 3
    SIGNAL = 4
    STDOUT = 11
    STDERR = 12
    TAKEN = 13
    EXIT = 14
    ERROR = 15


Frame = tuple[FrameKind, bytes]


class BadFrame(ValueError):
    """The other side speaks something else."""


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """One frame. The payload has at most `LARGEST` bytes."""
    assert len(payload) <= LARGEST, "the caller cuts it"
    return _HEAD.pack(kind, len(payload)) + payload


def encode_size(rows: int, columns: int) -> bytes:
    """The payload of SIZE."""
    return _SIZE.pack(min(rows, 0xFFFF), min(columns, 0xFFFF))


def decode_size(payload: bytes) -> tuple[int, int]:
    """Rows and columns. Raises BadFrame."""
    if len(payload) != _SIZE.size:
        raise BadFrame(f"a size has {_SIZE.size} bytes, and this one {len(payload)}")
    rows, columns = _SIZE.unpack(payload)
    return rows, columns


def encode_number(value: int) -> bytes:
    """The payload of TAKEN and EXIT."""
    return str(value).encode()


def decode_number(payload: bytes) -> int:
    """The inverse. Raises BadFrame."""
    try:
        return int(payload)
    except ValueError as error:
        raise BadFrame("expected a number") from error


class FrameDecoder:
    """Makes frames of bytes as they come."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that are complete now. Raises BadFrame."""
        self._rest += piece
        out: list[Frame] = []
        while len(self._rest) >= _HEAD.size:
            kind, size = _HEAD.unpack_from(self._rest)
            if size > LARGEST:
                raise BadFrame(f"a frame has at most {LARGEST} bytes, and this one {size}")
            if len(self._rest) < _HEAD.size + size:
                break
            try:
                known = FrameKind(kind)
            except ValueError as error:
                raise BadFrame(f"no frame is of kind {kind}") from error
            out.append((known, bytes(self._rest[_HEAD.size : _HEAD.size + size])))
            del self._rest[: _HEAD.size + size]
        return out

"""What a stranger's answer says, read within bounds: its bytes, its JSON, its numbers and its words; pure."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from typing import Any

LONGEST_ANSWER = 16 << 20
"""Bytes of an answer that is no blob."""
_NUMBER = re.compile(r"[0-9]{1,18}")
"""Of no more digits than any size has: Python refuses to read thousands of them."""
_GZIP = zlib.MAX_WBITS | 16


def gathered(pieces: Iterable[bytes], packing: str, most: int = LONGEST_ANSWER) -> bytes:
    """The bytes of an answer as a whole, unpacked where its Content-Encoding is gzip; one of another packing, or of
    several, which nobody asked for, stays as it came. Raises ValueError where there are more than `most`, packed or
    not, or where they are no gzip."""
    unpacker = zlib.decompressobj(_GZIP) if packing.strip().lower() in ("gzip", "x-gzip") else None
    found, size, came = list[bytes](), 0, 0
    for piece in pieces:
        came += len(piece)
        try:
            # Never more than one byte too many: a piece may hold a thousand times its size.
            data = unpacker.decompress(piece, most + 1 - size) if unpacker else piece
        except zlib.error as error:
            raise ValueError("an answer that is not the gzip that it is said to be") from error
        size += len(data)
        if max(size, came) > most:
            raise ValueError(f"an answer of more than {most >> 20} MiB")
        found.append(data)
    # The answer to a HEAD has the header of what a GET would give, and no bytes.
    if unpacker and came and not unpacker.eof:
        raise ValueError("an answer in gzip that ends too early")
    return b"".join(found)


def json_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object that some bytes are; None where they are none, or nested deeper than can be read."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def number(text: str) -> int | None:
    """A count of bytes in decimal digits; None where it is none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def printable(text: str, most: int = 500) -> str:
    """What a stranger says, fit for a terminal and one line."""
    return "".join(character if character.isprintable() else " " for character in text[:most])

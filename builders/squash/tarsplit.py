"""A layer as an overlay2 engine keeps it: the list of fragments that tar-split made when the layer came, and its files.

Put together in the list's order they are the layer's tar, byte for byte (github.com/vbatts/tar-split, "asm"). The list
is held as the engine compressed it, so that whoever goes through it, and however often, goes through the same one. What
the pieces amount to has yet to be checked against the layer's diff-ID.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from base64 import b64decode
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from isal import igzip_lib, isal_zlib

from builders.errors import SquashError
from builders.squash.pieces import Content, Piece

_RAW_BYTES = b'{"type":2,"payload":"'
"""How a fragment that carries bytes begins; type 1 names a file."""
_RAW_BYTES_TYPE = 2
_FILE = re.compile(rb'\{"type":1,"name":"([^"\\]+)","size":([1-9]\d*),')
"""How one that names a file begins, if nothing of the name is escaped."""
_SIZED = b'"size":'  # left out where it is 0; within a name its quotes would be escaped
_INFLATE_ERROR = cast(type[Exception], igzip_lib.IsalError)  # its stub calls it an instance
_WINDOW = 15 + 16  # bits, of a gzip stream
_CHUNK = 256 << 10
_OBJECT, _CONTENT = 48, 250  # bytes that a piece takes besides, and that a reference takes
_decode = json.JSONDecoder().raw_decode


class Keeper:
    """Pieces of the layers of an image, as many bytes of them as there is `room` for."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._kept: dict[bytes, tuple[Piece, ...]] = {}

    def kept(self, name: bytes) -> tuple[Piece, ...] | None:
        """Those of that name."""
        return self._kept.get(name)

    def keep(self, name: bytes, pieces: Iterator[Piece], least: int) -> Iterator[Piece]:
        """The pieces as they come, which are kept when the last one has, if all of them have room, `least` bytes or
        more."""
        taken: list[Piece] | None = [] if least <= self._room else None
        size = 0
        for piece in pieces:
            if taken is not None:
                taken.append(piece)
                size += _OBJECT + len(piece) if isinstance(piece, bytes) else _CONTENT
                if size > self._room:
                    taken = None
            yield piece
        if taken is not None and name not in self._kept:
            self._room -= size
            self._kept[name] = tuple(taken)


@dataclass(frozen=True, kw_only=True, slots=True)
class TarSplit:
    """`record` is the gzipped list, `files` the folder that the files named in it lie in. Its pieces are kept by
    `keeper`, where there is one that has room for them, and not made anew for whoever goes through them next."""

    record: bytes = field(repr=False)
    files: bytes
    keeper: Keeper | None = field(default=None, repr=False, compare=False)

    @classmethod
    def read(cls, record: Path, files: bytes, *, keeper: Keeper | None = None) -> TarSplit:
        """The list at `record`. Raises OSError."""
        return cls(record=record.read_bytes(), files=files, keeper=keeper)

    @property
    def digest(self) -> str:
        """The sha256 of the list."""
        return hashlib.sha256(self.record).hexdigest()

    def pieces(self) -> Iterator[Piece]:
        """The layer's tar: headers and padding as they are, every file's content by reference; no file is opened.
        Raises SquashError ``layer-damaged`` where the list is not as it should be."""
        kept = self.keeper.kept(self.files) if self.keeper is not None else None
        if kept is not None:
            yield from kept
            return
        try:
            if self.keeper is None:
                yield from self._pieces()
            else:
                yield from self.keeper.keep(self.files, self._pieces(), self._least())
        except (ValueError, KeyError, TypeError, EOFError) as error:
            raise self._unreadable(error) from error

    def size(self) -> int:
        """How many bytes the layer's tar has. Raises as `pieces` does."""
        begin, total = len(_RAW_BYTES), 0
        try:
            for line in self._lines():
                if line.startswith(_RAW_BYTES):
                    end = line.index(b'"', begin)
                    # Base64: four characters for three bytes, the last ones padded.
                    total += (end - begin) // 4 * 3 - line.count(b"=", end - 2, end)
                elif _SIZED in line:
                    told = _FILE.match(line)
                    total += int(told[2]) if told else int(_decode(line.decode())[0].get("size") or 0)
        except (ValueError, KeyError, TypeError, EOFError, AttributeError) as error:
            raise self._unreadable(error) from error
        return total

    def _unreadable(self, error: Exception) -> SquashError:
        files = os.fsdecode(self.files)
        return SquashError("layer-damaged", files, f"the engine's list of its files cannot be read: {error}")

    def _pieces(self) -> Iterator[Piece]:
        folder, begin = self.files + b"/", len(_RAW_BYTES)
        for line in self._lines():
            if line.startswith(_RAW_BYTES):
                yield a2b_base64(line[begin : line.index(b'"', begin)], strict_mode=True)
            elif (told := _FILE.match(line)) and b".." not in told[1]:
                yield Content(path=folder + told[1], offset=0, size=int(told[2]))
            elif _SIZED in line or b'"type":1' not in line:
                fragment, _ = _decode(line.decode())
                if fragment["type"] == _RAW_BYTES_TYPE:
                    yield b64decode(fragment.get("payload") or "", validate=True)
                elif size := int(fragment.get("size") or 0):
                    raw = fragment.get("name_raw")
                    name = b64decode(raw) if raw else str(fragment["name"]).encode()
                    if size < 0 or b".." in name.split(b"/"):
                        raise ValueError(f"the layer's list of files leads out of it: {name!r}")
                    yield Content(path=folder + name, offset=0, size=size)

    def _least(self) -> int:
        """About how many bytes the pieces take: three of four characters of the list, whose length gzip tells."""
        return int.from_bytes(self.record[-4:], "little") * 3 // 4

    def _lines(self) -> Iterator[bytes]:
        reader, data, rest = isal_zlib.decompressobj(_WINDOW), self.record, b""
        try:
            while not reader.eof:
                text = reader.decompress(data, _CHUNK)
                data = reader.unconsumed_tail
                if not text and not data and not reader.eof:
                    raise EOFError("the layer's list of files is cut short")
                *lines, rest = (rest + text).split(b"\n")
                yield from lines
        except _INFLATE_ERROR as error:
            raise ValueError(f"the layer's list of files cannot be read: {error}") from error
        if rest:
            yield rest

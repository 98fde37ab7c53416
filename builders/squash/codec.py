"""How a block of a layer is packed, and the proof that it unpacks again.

A blob is a sequence of gzip members, and a member a sequence of blocks of a mebibyte: each is deflate of its own with
the 32 KiB before it as dictionary, flushed to a whole byte, so that blocks can be packed at the same time and joined
(pigz does the same). A block's bytes hang on its content, on those 32 KiB and on the codec, on nothing else: not on the
number of threads, nor on how the layer was read.

**What is promised.** `Codec.proved` unpacks what it has packed, with the same dictionary, and compares it byte for
byte with what it was given, before it gives it out. The packer joins such blocks in their order. A member that it
copies out of another blob instead is unpacked and compared with the content that it stands for; or, where that was done
before, it has the same sha256 as then, and so has the content. Whoever got a blob from `BlobStore.pack` therefore knows
that it unpacks to the bytes whose digest is its `diff_id`, and need not unpack it again. Of a layer that is as somebody
else made it nothing is to be proved: `BlobStore.compress` leaves out the unpacking of what it packs itself and those
two digests, which are half of the work.

The levels were measured on Debian's python3 and libraries, one core, packing alone and its bytes by those of the tar:
``fast`` 556 MB/s, 0.362; ``balanced`` 484 MB/s, 0.357; ``small`` 25 MB/s, 0.313; ``zstd`` 300 MB/s, 0.304. Unpacking
takes 1.4 s of a gigabyte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, cast

import isal
from isal import igzip_lib, isal_zlib
from zlib_ng import zlib_ng

from builders import zstd
from builders.errors import SquashError
from registry.manifest import MediaType

BLOCK = 1 << 20
"""Bytes of a member that are packed at a time; part of the output's identity."""
WINDOW = 32 << 10
"""Bytes before a block that it may refer to: deflate's own window."""
_FORMAT = 1
"""Counts up when the same plain bytes give another blob: other blocks, other places to cut members."""
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflate, no name, no time, no system
_RAW = -15  # no frame, 15 bits of window
_GZIP = 31  # its frame, and as many bits
_INFLATE_ERROR = cast(type[Exception], igzip_lib.IsalError)  # its stub calls it an instance


class Compression(StrEnum):
    """How hard layers are packed."""

    FAST = "fast"
    BALANCED = "balanced"
    SMALL = "small"
    ZSTD = "zstd"
    """Read by engines from version 23 on."""


class Damaged(Exception):
    """What should be a member is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Codec:
    """A way to pack. `key` names all that decides the bytes: what is stored under one key could be made again under it
    bit for bit. `header` begins a member."""

    key: str
    media_type: MediaType
    header: bytes
    block: Callable[[bytes, bytes, bool], bytes]
    """The packed bytes of a block, given the `WINDOW` bytes before it in its member and whether it is the last one."""
    sound: Callable[[bytes, bytes, bool, bytes], bool]
    """Whether the packed bytes, the last argument, unpack to the block that the others are of."""
    trailer: Callable[[int, int], bytes]
    """What ends a member, given the crc32 and the number of its plain bytes."""
    unpacked: Callable[[Iterable[bytes]], Iterator[bytes]]
    """The plain bytes of a member, in pieces of a block at most. Raises Damaged where it is not one, and whole."""

    def proved(self, plain: bytes, before: bytes, last: bool) -> bytes:
        """As `block`, and it is sound. Raises SquashError ``packing-failed``."""
        packed = self.block(plain, before, last)
        if not self.sound(plain, before, last, packed):
            raise _failed(self.key, plain)
        return packed


def crc32(data: bytes, before: int = 0) -> int:
    """gzip's checksum, going on from that of what came `before`: one that two libraries agree on, for sound blocks are
    of no use with a wrong one. It costs a hundredth of packing. Raises SquashError ``packing-failed``."""
    found: int = isal_zlib.crc32(data, before)
    if zlib_ng.crc32(data, before) != found:
        raise _failed("crc32", data)
    return found


@cache
def codec(compression: Compression) -> Codec:
    """The codec for a level."""
    match compression:
        case Compression.FAST:
            return _gzip(isal_zlib, f"isal{isal.__version__}", 1)
        case Compression.BALANCED:
            return _gzip(isal_zlib, f"isal{isal.__version__}", 2)
        case Compression.SMALL:
            return _gzip(zlib_ng, f"zlibng{zlib_ng.ZLIBNG_VERSION}", 9)
        case Compression.ZSTD:
            return _zstd(3)


def _gzip(library: Any, name: str, level: int) -> Codec:
    def block(plain: bytes, before: bytes, last: bool) -> bytes:
        packer = library.compressobj(level, library.DEFLATED, _RAW, 8, 0, *([before] if before else []))
        packed: bytes = packer.compress(plain) + packer.flush(library.Z_FINISH if last else library.Z_SYNC_FLUSH)
        return packed

    return Codec(
        key=f"gzip-{_FORMAT}-{name}-{level}-{_fingerprint(block)}",
        media_type=MediaType.OCI_LAYER_GZIP,
        header=_GZIP_HEADER,
        block=block,
        sound=_inflates,
        trailer=_trailer,
        unpacked=_gunzipped,
    )


def _zstd(level: int) -> Codec:
    """A frame a block: they stand side by side as gzip's members do, and need nothing around them."""

    def block(plain: bytes, before: bytes, last: bool) -> bytes:  # noqa: ARG001 - a frame knows nothing of the others
        return zstd.pack(plain, level)

    def sound(plain: bytes, before: bytes, last: bool, packed: bytes) -> bool:  # noqa: ARG001
        try:
            return b"".join(zstd.unpack([packed])) == plain
        except (zstd.ZstdError, EOFError):
            return False

    return Codec(
        key=f"zstd-{_FORMAT}-{zstd.VERSION}-{level}-{_fingerprint(block)}",
        media_type=MediaType.OCI_LAYER_ZSTD,
        header=b"",
        block=block,
        sound=sound,
        trailer=lambda crc, size: b"",  # noqa: ARG005 - each frame has a checksum
        unpacked=_unzstd,
    )


def _trailer(crc: int, size: int) -> bytes:
    return crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def _inflates(plain: bytes, before: bytes, last: bool, packed: bytes) -> bool:
    reader = isal_zlib.decompressobj(_RAW, before) if before else isal_zlib.decompressobj(_RAW)
    try:
        return reader.decompress(packed, len(plain) + 1) == plain and not reader.unused_data and reader.eof == last
    except _INFLATE_ERROR:
        return False


def _gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    reader, behind = isal_zlib.decompressobj(_GZIP), b""
    try:
        for piece in pieces:
            rest = piece
            while rest and not reader.eof:
                if out := reader.decompress(rest, BLOCK):
                    yield out
                rest = reader.unconsumed_tail
            behind += reader.unused_data or rest
        while not reader.eof and (out := reader.decompress(b"", BLOCK)):
            yield out
    except _INFLATE_ERROR as error:
        raise Damaged from error
    if behind or not reader.eof:
        raise Damaged


def _unzstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from zstd.unpack(pieces)
    except (zstd.ZstdError, EOFError) as error:
        raise Damaged from error


def _failed(name: str, plain: bytes) -> SquashError:
    return SquashError(
        "packing-failed",
        name,
        f"what it made of {len(plain)} bytes does not unpack to them",
        hint="please report it; and have this machine's memory tested",
    )


def _fingerprint(block: Callable[[bytes, bytes, bool], bytes]) -> str:
    """What the codec makes of a text that has something of everything. ISA-L takes another hash function on x86
    processors without SSE 4.2, which were last made in 2010, and its bytes differ there."""
    words = [hashlib.sha256(bytes((number & 31,))).hexdigest().encode() for number in range(300)]
    noise = b"".join(hashlib.sha256(bytes((number,))).digest() for number in range(250))
    text = b"".join(word[: 5 + number % 50] for number, word in enumerate(words)) + noise
    return hashlib.sha256(block(text, noise[:2000], False)).hexdigest()[:8]

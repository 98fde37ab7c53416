"""Packing a layer: pieces in, a blob out, on all cores and in bounded memory.

One thread reads and puts in order; a pool packs blocks and proves them; digests go along in threads of their own, and
the one of what is packed writes it. isal and hashlib give up the interpreter's lock while they work. What is in flight
is bounded by bytes, so that a layer may have any size.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from builders.errors import SquashError
from builders.squash.codec import BLOCK, WINDOW, Codec, Damaged, crc32
from builders.squash.contents import Contents
from builders.squash.cuts import Stored, cut
from builders.squash.digest import Digest
from builders.squash.member import shown
from builders.squash.members import Found, Members, Placed
from builders.squash.pieces import Content, Piece

KEYED = 16 << 10
"""Plain bytes from which on a member is noted; smaller ones are packed sooner than found."""
_WORKERS_MOST = 8  # then sha256 of the plain bytes is what takes longest


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """A layer that was written: the blob's `digest` and `size`, the plain bytes' `diff_id` and `uncompressed`, and the
    members to be noted. `copied` of the plain bytes were not packed anew."""

    digest: str
    size: int
    diff_id: str
    uncompressed: int
    members: tuple[Placed, ...]
    copied: int


def pack(
    pieces: Iterable[Piece],
    out: BinaryIO,
    *,
    codec: Codec,
    known: Members,
    check: Callable[[], None],
    prove: bool = True,
    workers: int | None = None,
    on_plain: Callable[[bytes], None] | None = None,
) -> Packed:
    """Writes the tar that `pieces` are to `out`, packed. Members that are `known` are copied. To `prove` it means that
    it unpacks to those bytes (the promise stands in `codec`).

    The bytes depend on those of the tar and on the codec alone. `check` is called for each block, and may raise;
    `workers` is how many blocks are packed at a time, if not one a core; `on_plain` is given the tar's bytes in their
    order, those that the diff-ID is of. Raises SquashError ``layer-damaged``, ``blob-damaged`` and ``packing-failed``,
    OSError; no thread is left behind then.
    """
    count = workers or min(len(os.sched_getaffinity(0)), _WORKERS_MOST)
    with Contents() as contents, _Threads(count) as threads:
        packing = _Packing(codec, known, contents, threads, out, check, prove, on_plain)
        for member in cut(pieces, contents):
            packing.add(member)
        return packing.end()


class _Threads:
    """The pool that packs, and a thread for each digest. All end with the block, in whatever way that ends."""

    def __init__(self, workers: int) -> None:
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="pack")
        self.plain = ThreadPoolExecutor(1, thread_name_prefix="digest-plain")
        self.packed = ThreadPoolExecutor(1, thread_name_prefix="digest-packed")
        self.content = ThreadPoolExecutor(1, thread_name_prefix="digest-content")
        self.room = (2 * workers + 2) * BLOCK

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, *_: object) -> None:
        # Each, also when we are interrupted while we wait for one.
        with ExitStack() as ending:
            for executor in (self.content, self.packed, self.plain, self.pool):
                ending.callback(executor.shutdown, cancel_futures=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """A member of one block, made or copied; `crc`, `digest` and `seal` as of `Placed`."""

    packed: bytes
    crc: int
    digest: bytes
    seal: bytes
    copied: bool = False


@dataclass(slots=True, eq=False)
class _Long:
    """A member of several blocks on its way. Where it is to be proved `digest` goes along with what is read of it, and
    `seal` with what is written; else `weak_seal` does."""

    digest: Digest | None
    seal: Any = field(default_factory=hashlib.sha256)
    weak_seal: int = 0
    start: int = 0
    crc: int = 0
    plain: int = 0


class _Packing:
    """One layer on its way. Members are added in order; what was begun for them is written in that order."""

    def __init__(
        self,
        codec: Codec,
        known: Members,
        contents: Contents,
        threads: _Threads,
        out: BinaryIO,
        check: Callable[[], None],
        prove: bool,
        on_plain: Callable[[bytes], None] | None,
    ) -> None:
        self._codec = codec
        self._prove = prove
        self._block = codec.proved if prove else codec.block
        self._known = known
        self._contents = contents
        self._threads = threads
        self._plain = Digest(threads.plain, also=on_plain)
        self._packed = Digest(threads.packed, then=out.write)
        self._check = check
        self._begun: deque[tuple[int, Callable[[], None]]] = deque()  # its plain bytes, and what writes it
        self._held = 0
        self._members: list[Placed] = []
        self._copied = 0

    def add(self, member: bytes | Stored) -> None:
        """The next member of the layer."""
        if isinstance(member, bytes):
            self._short(member)
        elif member.whole is None:
            self._passing(_joined(member.parts, self._contents))
        elif member.size <= BLOCK:
            self._short(self._contents.read(member.whole))
        else:
            self._long(member.whole)

    def end(self) -> Packed:
        """Writes what is left."""
        if not self._plain.size:
            self._short(b"")
        while self._begun:
            self._write_next()
        return Packed(
            digest=f"sha256:{self._packed.end().hex()}",
            size=self._packed.size,
            diff_id=f"sha256:{self._plain.end().hex()}",
            uncompressed=self._plain.size,
            members=tuple(self._members),
            copied=self._copied,
        )

    def _short(self, plain: bytes) -> None:
        """A member of one block, which is there."""
        self._check()
        self._plain.update(plain)
        size = len(plain)
        if size < KEYED:
            crc = crc32(plain)
            made = _Made(packed=self._member(plain, crc), crc=crc, digest=b"", seal=b"")
            self._begin(size, lambda: self._write_short(made, size))
        else:
            coming = self._threads.pool.submit(self._make if self._prove else self._make_unproved, plain)
            self._begin(size, lambda: self._write_short(coming.result(), size))

    def _make(self, plain: bytes) -> _Made:
        """In the pool: the member out of another blob, or packed."""
        crc, digest = crc32(plain), hashlib.sha256(plain).digest()
        found = self._known.find(self._codec.key, len(plain), crc)
        if found is not None and found.placed.size <= 2 * len(plain):
            packed = b"".join(found.blocks())
            held = self._compared(found.placed, digest, [packed], [plain])
            if held is not None:
                return _Made(packed=packed, crc=crc, digest=digest, seal=held[0].seal, copied=True)
        packed = self._member(plain, crc)
        return _Made(packed=packed, crc=crc, digest=digest, seal=hashlib.sha256(packed).digest())

    def _make_unproved(self, plain: bytes) -> _Made:
        """In the pool: the member, packed: that costs no more than to unpack one and to compare it."""
        crc = crc32(plain)
        packed = self._member(plain, crc)
        return _Made(packed=packed, crc=crc, digest=b"", seal=_weak(crc32(packed)))

    def _member(self, plain: bytes, crc: int) -> bytes:
        """A member of one block."""
        return self._codec.header + self._block(plain, b"", True) + self._codec.trailer(crc, len(plain))

    def _compared(
        self, placed: Placed, digest: bytes, packed: Iterable[bytes], plain: Iterable[bytes]
    ) -> tuple[Placed, int] | None:
        """In the pool: a member that is that of the plain bytes, which have the `digest`, as it is to be noted, and its
        own crc32; None where it is not. It was proved to be that of such bytes, or it is unpacked now."""
        seal, crc = hashlib.sha256(), 0

        def passing() -> Iterator[bytes]:
            nonlocal crc
            for piece in packed:
                seal.update(piece)
                crc = crc32(piece, crc)
                yield piece

        if placed.digest == digest:
            for _ in passing():
                pass
            return (placed, crc) if seal.digest() == placed.seal else None
        try:
            same = _same(self._codec.unpacked(passing()), plain) and placed.seal == _weak(crc)
        except Damaged:
            same = False
        return (replace(placed, digest=digest, seal=seal.digest()), crc) if same else None

    def _stands_for(self, found: Found, digest: bytes, content: Content) -> tuple[Placed, int] | None:
        """In the pool: as `_compared`, of a content where it lies."""
        with Contents() as contents:
            return self._compared(found.placed, digest, found.blocks(), contents.blocks(content, BLOCK))

    def _long(self, content: Content) -> None:
        """A content of several blocks, which can be read more than once."""
        if not self._prove or not self._known.has_size(self._codec.key, content.size):
            self._passing(self._contents.blocks(content, BLOCK))
            return
        # There may be one. Its plain bytes are read for the layer's digest anyway, and say which it could be.
        own, crc = Digest(self._threads.content), 0
        for block in self._contents.blocks(content, BLOCK):
            self._check()
            self._plain.update(block)
            own.update(block)
            crc = crc32(block, crc)
        found = self._known.find(self._codec.key, content.size, crc)
        if found is None:
            self._again(content, crc)
        else:
            coming = self._threads.pool.submit(self._stands_for, found, own.end(), content)
            self._begin(BLOCK, lambda: self._copy(found, coming, content))

    def _copy(self, found: Found, coming: Future[tuple[Placed, int] | None], content: Content) -> None:
        """Writes a member out of another blob; packed, and before what was begun after it, where that is not it."""
        held = coming.result()
        if held is None:
            later, self._begun = self._begun, deque()
            self._again(content, found.placed.crc)
            while self._begun:
                self._write_next()
            self._begun = later
            return
        start, crc = self._packed.size, 0
        for block in found.blocks():
            self._check()
            crc = crc32(block, crc)
            self._packed.update(block)
        if crc != held[1]:
            raise SquashError(
                "blob-damaged", found.path.name, "it went while a part of it was copied", hint="build the image again"
            )
        self._members.append(replace(held[0], start=start))
        self._copied += content.size

    def _again(self, content: Content, crc: int) -> None:
        """A content that was read once already, packed; it must be what it was."""
        if self._blocks(self._contents.blocks(content, BLOCK), counted=False) != crc:
            name = shown(os.fsencode(content.path))
            raise SquashError("layer-damaged", name, "its content changed while it was read")

    def _passing(self, blocks: Iterator[bytes]) -> None:
        """A content that is read once, in blocks."""
        first, second = next(blocks, b""), next(blocks, None)
        if second is None:
            self._short(first)
            return
        self._blocks(chain((first, second), blocks), counted=True)

    def _blocks(self, blocks: Iterator[bytes], *, counted: bool) -> int:
        """Begins a member of several blocks, which are `counted` into the layer's digest, or were already; its
        crc32."""
        member, before = _Long(Digest(self._threads.content) if self._prove else None), b""
        block = next(blocks, None)
        while block is not None:
            self._check()
            following = next(blocks, None)
            if counted:
                self._plain.update(block)
            if member.digest is not None:
                member.digest.update(block)
            member.crc = crc32(block, member.crc)
            coming = self._threads.pool.submit(self._block, block, before, following is None)
            self._begin(len(block), partial(self._write_block, member, coming, len(block), following is None))
            before, block = block[-WINDOW:], following
        return member.crc

    def _begin(self, size: int, write: Callable[[], None]) -> None:
        self._begun.append((size, write))
        self._held += size
        while self._begun and self._held > self._threads.room:
            self._write_next()

    def _write_next(self) -> None:
        size, write = self._begun.popleft()
        self._held -= size
        write()

    def _write_short(self, made: _Made, plain: int) -> None:
        if plain >= KEYED:
            placed = Placed(
                plain=plain,
                crc=made.crc,
                start=self._packed.size,
                size=len(made.packed),
                digest=made.digest,
                seal=made.seal,
            )
            self._members.append(placed)
        self._copied += plain if made.copied else 0
        self._packed.update(made.packed)

    def _write_block(self, member: _Long, coming: Future[bytes], plain: int, last: bool) -> None:
        packed = coming.result()
        if not member.plain:
            member.start = self._packed.size
            packed = self._codec.header + packed
        member.plain += plain
        if last:
            packed += self._codec.trailer(member.crc, member.plain)
        if member.digest is not None:
            member.seal.update(packed)
        else:
            member.weak_seal = crc32(packed, member.weak_seal)
        self._packed.update(packed)
        if last:
            placed = Placed(
                plain=member.plain,
                crc=member.crc,
                start=member.start,
                size=self._packed.size - member.start,
                digest=member.digest.end() if member.digest is not None else b"",
                seal=member.seal.digest() if member.digest is not None else _weak(member.weak_seal),
            )
            self._members.append(placed)


def _weak(crc: int) -> bytes:
    return crc.to_bytes(4, "little")


def _same(one: Iterable[bytes], other: Iterable[bytes]) -> bool:
    """Whether two sequences of pieces are the same bytes."""
    pieces, rest = iter(one), b""
    for wanted in other:
        while len(rest) < len(wanted):
            more = next(pieces, None)
            if more is None:
                return False
            rest = rest + more if rest else more
        if rest[: len(wanted)] != wanted:
            return False
        rest = rest[len(wanted) :]
    return not rest and next(pieces, None) is None


def _joined(parts: Iterable[Piece], contents: Contents) -> Iterator[bytes]:
    """Pieces of any size as blocks."""
    waiting = bytearray()
    for part in parts:
        for data in contents.blocks(part, BLOCK) if isinstance(part, Content) else (part,):
            waiting += data
            while len(waiting) >= BLOCK:
                yield bytes(memoryview(waiting)[:BLOCK])
                del waiting[:BLOCK]
    if waiting:
        yield bytes(waiting)

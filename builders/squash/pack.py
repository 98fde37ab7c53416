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
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from builders.errors import SquashError
from builders.squash.codec import BLOCK, WINDOW, Codec, crc32
from builders.squash.contents import Contents
from builders.squash.cuts import Stored, cut
from builders.squash.member import shown
from builders.squash.members import Found, Members, Placed
from builders.squash.pieces import Content, Piece

KEYED = 16 << 10
"""Plain bytes from which on a member is noted; smaller ones are packed sooner than found."""
_WORKERS_MOST = 8  # then sha256 of the plain bytes is what takes longest
_HASH_STEP = 256 << 10
_HASHES_AHEAD = 3


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
        for executor in (self.pool, self.plain, self.packed, self.content):
            executor.shutdown(cancel_futures=True)


class _Digest:
    """A sha256 that is reckoned in another thread, of bytes that come in order. `also` is given them by the caller's
    thread, `then` by the other one."""

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        *,
        also: Callable[[bytes], None] | None = None,
        then: Callable[[bytes], object] | None = None,
    ) -> None:
        self._thread = thread
        self._also = also
        self._then = then
        self._digest = hashlib.sha256()
        self._gathered: list[bytes] = []
        self._waiting = 0
        self._running: deque[Future[None]] = deque()
        self.size = 0

    def update(self, data: bytes) -> None:
        """Takes in the next bytes; waits where too many do."""
        if self._also is not None:
            self._also(data)
        self._gathered.append(data)
        self._waiting += len(data)
        self.size += len(data)
        if self._waiting >= _HASH_STEP:
            self._send()

    def end(self) -> bytes:
        """The digest of all that came."""
        self._send()
        while self._running:
            self._running.popleft().result()
        return self._digest.digest()

    def _send(self) -> None:
        while len(self._running) > _HASHES_AHEAD:
            self._running.popleft().result()
        self._running.append(self._thread.submit(self._take, self._gathered))
        self._gathered, self._waiting = [], 0

    def _take(self, parts: list[bytes]) -> None:
        for part in parts:
            self._digest.update(part)
            if self._then is not None:
                self._then(part)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """A member of one block, made or copied. `digest` is of the plain bytes, `seal` of the `packed` ones; no `digest`,
    no note of it."""

    packed: bytes
    seal: bytes
    digest: bytes | None
    crc: int
    proved: bool
    copied: bool = False


@dataclass(slots=True, eq=False)
class _Long:
    """A member of several blocks on its way. `digest` is of its plain bytes, when all have been read; `packed` goes
    along with what is written."""

    digest: Callable[[], bytes]
    packed: Any = field(default_factory=hashlib.sha256)
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
        self._plain = _Digest(threads.plain, also=on_plain)
        self._packed = _Digest(threads.packed, then=out.write)
        self._check = check
        self._begun: deque[tuple[int, Callable[[], None]]] = deque()  # its plain bytes, and what writes it
        self._held = 0
        self._members: list[Placed] = []
        self._copied = 0

    def add(self, member: bytes | Stored) -> None:
        """The next member of the layer."""
        if isinstance(member, bytes):
            self._short(member, None)
        elif member.whole is None:
            self._passing(_joined(member.parts, self._contents))
        elif member.size <= BLOCK:
            self._short(self._contents.read(member.whole), _raw(member.whole.digest))
        else:
            self._long(member.whole)

    def end(self) -> Packed:
        """Writes what is left."""
        if not self._plain.size:
            self._short(b"", None)
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

    def _short(self, plain: bytes, digest: bytes | None) -> None:
        """A member of one block, which is there."""
        self._check()
        self._plain.update(plain)
        size = len(plain)
        if size < KEYED:
            crc = crc32(plain)
            made = _Made(packed=self._member(plain, crc), seal=b"", digest=None, crc=crc, proved=self._prove)
            self._begin(size, lambda: self._write_short(made, size))
        else:
            coming = self._threads.pool.submit(self._make, plain, digest)
            self._begin(size, lambda: self._write_short(coming.result(), size))

    def _make(self, plain: bytes, digest: bytes | None) -> _Made:
        """In the pool: the member out of another blob, or packed."""
        digest = digest or hashlib.sha256(plain).digest()
        crc = crc32(plain)
        found = self._find(digest)
        if found is not None and (found.placed.plain, found.placed.crc) == (len(plain), crc):
            copied, placed = found.read(), found.placed
            if copied is not None:
                return _Made(
                    packed=copied, seal=placed.packed, digest=digest, crc=crc, proved=placed.proved, copied=True
                )
        packed = self._member(plain, crc)
        return _Made(packed=packed, seal=hashlib.sha256(packed).digest(), digest=digest, crc=crc, proved=self._prove)

    def _member(self, plain: bytes, crc: int) -> bytes:
        """A member of one block."""
        return self._codec.header + self._block(plain, b"", True) + self._codec.trailer(crc, len(plain))

    def _find(self, digest: bytes) -> Found | None:
        return self._known.find(self._codec.key, digest, proved=self._prove)

    def _long(self, content: Content) -> None:
        """A content of several blocks, which can be read more than once."""
        said = _raw(content.digest)
        if said is None and not self._known.has_size(self._codec.key, content.size):
            self._passing(self._contents.blocks(content, BLOCK))
            return
        if said is not None and self._find(said) is None:
            self._blocks(self._contents.blocks(content, BLOCK), [self._plain], lambda: said)
            return
        # There may be one. Its plain bytes are read for the layer's digest anyway, and say whether it is this one.
        own, crc = _Digest(self._threads.content), 0
        for block in self._contents.blocks(content, BLOCK):
            self._check()
            self._plain.update(block)
            crc = crc32(block, crc)
            if said is None:
                own.update(block)
        digest = said or own.end()
        found = self._find(digest)
        if found is not None and (found.placed.plain, found.placed.crc) == (content.size, crc):
            coming = self._threads.pool.submit(found.sound)
            self._begin(BLOCK, lambda: self._copy(found, coming, content))
        else:
            self._again(content, crc)

    def _copy(self, found: Found, sound: Future[bool], content: Content) -> None:
        """Writes a member out of another blob; packed, and before what was begun after it, where that is damaged."""
        if not sound.result():
            later, self._begun = self._begun, deque()
            self._again(content, found.placed.crc)
            while self._begun:
                self._write_next()
            self._begun = later
            return
        start = self._packed.size
        for block in found.blocks():
            self._check()
            self._packed.update(block)
        if self._packed.size - start != found.placed.size:
            name = found.path.name
            raise SquashError(
                "blob-damaged", name, "it went while a part of it was copied", hint="build the image again"
            )
        self._members.append(replace(found.placed, start=start))
        self._copied += content.size

    def _again(self, content: Content, crc: int) -> None:
        """A content that was read once already, packed; it must be what it was."""
        own = _Digest(self._threads.content)
        if self._blocks(self._contents.blocks(content, BLOCK), [own], own.end) != crc:
            name = shown(os.fsencode(content.path))
            raise SquashError("layer-damaged", name, "its content changed while it was read")

    def _passing(self, blocks: Iterator[bytes]) -> None:
        """A content that is read once, in blocks, with its digest beside."""
        first, second = next(blocks, b""), next(blocks, None)
        if second is None:
            self._short(first, None)
            return
        own = _Digest(self._threads.content)
        self._blocks(chain((first, second), blocks), [self._plain, own], own.end)

    def _blocks(self, blocks: Iterator[bytes], digests: list[_Digest], digest: Callable[[], bytes]) -> int:
        """Begins a member of several blocks; its crc32. `digests` go along."""
        member, before = _Long(digest), b""
        block = next(blocks, None)
        while block is not None:
            self._check()
            following = next(blocks, None)
            for each in digests:
                each.update(block)
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
        if made.digest is not None:
            self._members.append(
                Placed(
                    digest=made.digest,
                    plain=plain,
                    crc=made.crc,
                    start=self._packed.size,
                    size=len(made.packed),
                    packed=made.seal,
                    proved=made.proved,
                )
            )
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
        member.packed.update(packed)
        self._packed.update(packed)
        if last:
            self._members.append(
                Placed(
                    digest=member.digest(),
                    plain=member.plain,
                    crc=member.crc,
                    start=member.start,
                    size=self._packed.size - member.start,
                    packed=member.packed.digest(),
                    proved=self._prove,
                )
            )


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


def _raw(digest: str | None) -> bytes | None:
    """The 32 bytes of a digest that somebody said."""
    return bytes.fromhex(digest.removeprefix("sha256:")) if digest is not None else None

"""One blob from a registry into a file: taken up where it broke off, and believed only when its digest says so."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from registry.client import RegistryClient
from registry.errors import LayoutError, RefusedError, RegistryError, TransportError
from registry.file_lock import lock
from registry.manifest import Descriptor
from registry.room import require_room

PIECE = 1 << 20
RANGE_REFUSED = 416


@contextmanager
def fetched(
    client: RegistryClient,
    repository: str,
    blob: Descriptor,
    folder: Path,
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Path]:
    """A file of `folder` with a blob's bytes, which are those that its digest and size say; removed when it has been
    used. What an interrupted call left there is gone on with.

    Raises TransportError (`digest-mismatch`, `size-mismatch`, `registry-unreachable`, …), RefusedError, LayoutError
    (`unsupported-digest`), StorageError (`disk-full`) and, when cancelled, InterruptedError.
    """
    algorithm, _, name = blob.digest.partition(":")
    if algorithm not in ("sha256", "sha512"):
        raise LayoutError("unsupported-digest", blob.digest, "expected sha256 or sha512")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.part"
    there = path.stat().st_size if path.exists() else 0
    require_room(folder, max(0, blob.size - there), f"a blob of {blob.size:,} bytes")
    with ExitStack() as held:
        # For as long as it is used: another process that fetches the same one takes a file of its own.
        handle = held.enter_context(path.open("a+b"))
        if not lock(handle.fileno(), wait=False):
            path = folder / f"{name}.part.{os.getpid()}"
            handle = held.enter_context(path.open("w+b"))
            held.callback(path.unlink, missing_ok=True)
        try:
            _Fetch(client, repository, blob, handle, on_bytes, cancelled).run()
        except RegistryError as error:
            if error.code in ("digest-mismatch", "size-mismatch"):
                path.unlink(missing_ok=True)
            raise
        yield path
        path.unlink(missing_ok=True)


class _Fetch:
    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        blob: Descriptor,
        handle: BinaryIO,
        on_bytes: Callable[[int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._client = client
        self._repository = repository
        self._blob = blob
        self._file = handle
        self._on_bytes = on_bytes
        self._cancelled = cancelled
        self._hasher = hashlib.new(blob.digest.partition(":")[0])
        self._have = 0

    def run(self) -> None:
        self._take_up()
        trial = self._client.trial()
        begun_with = self._have
        while self._have < self._blob.size or not self._blob.size:
            before = self._have
            try:
                self._receive()
                break
            except (TransportError, RefusedError) as error:
                if self._have > before:
                    trial.progressed()
                if error.status == RANGE_REFUSED and self._have:
                    self._start_over()
                    continue
                trial.failed(error)
        if f"{self._hasher.name}:{self._hasher.hexdigest()}" == self._blob.digest:
            return
        if begun_with:
            # It may be what lay there that is wrong. Once, from the beginning.
            self._start_over()
            self._file.truncate(0)
            self.run()
            return
        raise self._wrong("digest-mismatch", f"the bytes that came are {self._hasher.hexdigest()}")

    def _take_up(self) -> None:
        self._start_over()
        if self._file.seek(0, os.SEEK_END) > self._blob.size:
            self._file.truncate(0)
        self._file.seek(0)
        while piece := self._file.read(PIECE):
            self._hasher.update(piece)
            self._have += len(piece)

    def _start_over(self) -> None:
        self._hasher = hashlib.new(self._hasher.name)
        self._have = 0

    def _receive(self) -> None:
        with self._client.open_blob(self._repository, self._blob.digest, offset=self._have) as (begins, pieces):
            if begins != self._have:
                self._start_over()
            # What is behind may be of a connection that broke, and is written over or cut off.
            self._file.seek(self._have)
            self._file.truncate()
            try:
                for piece in pieces:
                    if self._cancelled():
                        raise InterruptedError("it was cancelled")
                    if self._have + len(piece) > self._blob.size:
                        raise self._wrong("size-mismatch", f"more than {self._blob.size} bytes came")
                    self._file.write(piece)
                    self._hasher.update(piece)
                    self._have += len(piece)
                    self._on_bytes(self._have)
            finally:
                self._file.flush()
        if self._have < self._blob.size:
            raise self._wrong("size-mismatch", f"{self._have} bytes came, expected {self._blob.size}")

    def _wrong(self, code: str, message: str) -> TransportError:
        return TransportError(
            code,
            f"{self._client.registry}/{self._repository}@{self._blob.digest}",
            message,
            hint="what the registry stores, or a proxy before it, is damaged: push the image again",
            kept="nothing was named or tagged",
        )

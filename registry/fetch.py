"""One blob from a registry into a file: taken up where it broke off, and believed only when its digest says so."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from registry.client import RegistryClient
from registry.errors import LayoutError, RefusedError, RegistryError, TransportError
from registry.manifest import Descriptor

PIECE = 1 << 20
RANGE_REFUSED = 416


def fetch(
    client: RegistryClient,
    repository: str,
    blob: Descriptor,
    folder: Path,
    *,
    on_bytes: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Write a blob into a file of `folder`, whose bytes are then those that its digest and size say; gives the file.

    What an interrupted call left there is gone on with. Raises TransportError (`digest-mismatch`, `size-mismatch`,
    `registry-unreachable`, …), RefusedError, LayoutError (`unsupported-digest`) and, when cancelled, InterruptedError.
    """
    algorithm, _, name = blob.digest.partition(":")
    if algorithm not in ("sha256", "sha512"):
        raise LayoutError("unsupported-digest", blob.digest, "expected sha256 or sha512")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.part"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Another process fetches the same one; each gets its own, because neither should depend on the other's end.
            os.close(descriptor)
            path = folder / f"{name}.part.{os.getpid()}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        _Fetch(client, repository, blob, descriptor, on_bytes, cancelled).run()
    except RegistryError as error:
        if error.code in ("digest-mismatch", "size-mismatch"):
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return path


class _Fetch:
    def __init__(
        self,
        client: RegistryClient,
        repository: str,
        blob: Descriptor,
        descriptor: int,
        on_bytes: Callable[[int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._client = client
        self._repository = repository
        self._blob = blob
        self._file = descriptor
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
            os.ftruncate(self._file, 0)
            self.run()
            return
        raise self._wrong("digest-mismatch", f"the bytes that came are {self._hasher.hexdigest()}")

    def _take_up(self) -> None:
        self._start_over()
        size = os.fstat(self._file).st_size
        if size > self._blob.size:
            os.ftruncate(self._file, 0)
            return
        while piece := os.pread(self._file, PIECE, self._have):
            self._hasher.update(piece)
            self._have += len(piece)

    def _start_over(self) -> None:
        self._hasher = hashlib.new(self._hasher.name)
        self._have = 0

    def _receive(self) -> None:
        with self._client.open_blob(self._repository, self._blob.digest, offset=self._have) as (begins, pieces):
            if begins != self._have:
                self._start_over()
            for piece in pieces:
                if self._cancelled():
                    raise InterruptedError("it was cancelled")
                if self._have + len(piece) > self._blob.size:
                    raise self._wrong("size-mismatch", f"more than {self._blob.size} bytes came")
                written = memoryview(piece)
                while written:
                    written = written[os.pwrite(self._file, written, self._have) :]
                    done = len(piece) - len(written)
                    self._hasher.update(piece[:done] if done < len(piece) else piece)
                    self._have += done
                    piece = piece[done:]  # noqa: PLW2901 - what the disk did not take at once
                self._on_bytes(self._have)
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

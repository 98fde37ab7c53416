"""Uploaded build contexts, kept by their digests until nobody can ask for them again."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from imageforge.errors import StackError, UsageError

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
DRAFT_SECONDS = 24 * 3600.0
"""Age after which a draft belongs to an upload that was cut off."""
LOOK_BYTES = 16 * 1024 * 1024
"""Bytes of an archive between two looks at the disk."""
GRACE_SECONDS = 600.0
"""Age below which an archive may belong to a build that is about to be stored."""


class Contexts:
    """The archives in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def draft(self, *, limit: int, spare: int = 0) -> Draft:
        """A place to write an archive to, of at most `limit` bytes, as long as `spare` bytes of the disk stay free:
        what runs here needs them, however many send at once."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Draft(self._folder, limit, spare)

    def path(self, digest: str) -> Path:
        """The archive with that digest. Raises UsageError (`context-gone`)."""
        match = DIGEST.fullmatch(digest)
        file = self._folder / match[1] if match else None
        if file is None or not file.exists():
            raise UsageError(
                "context-gone", digest, "its archive is no longer kept", hint="push or upload the source again"
            )
        return file

    def sweep(self, wanted: Iterable[str], *, older_than: float, most_bytes: int) -> None:
        """Remove the archives that nobody wants and that are older than so many seconds, then the oldest of the others
        that nobody wants until all together take at most `most_bytes`; and forgotten drafts."""
        kept = {digest.removeprefix("sha256:") for digest in wanted}
        now, total = time.time(), 0
        spare: list[tuple[float, int, Path]] = []
        for file in self._folder.glob("*"):
            try:
                found = file.stat()
            except FileNotFoundError:
                continue  # an upload that has just ended
            age = now - found.st_mtime
            if file.name.startswith(".draft"):
                if age > DRAFT_SECONDS:
                    file.unlink(missing_ok=True)
                continue
            if file.name in kept:
                total += found.st_size
            elif age > older_than:
                file.unlink(missing_ok=True)
            elif age > GRACE_SECONDS:
                spare.append((age, found.st_size, file))
        for _, size, file in sorted(spare):  # the youngest first
            total += size
            if total > most_bytes:
                file.unlink(missing_ok=True)


class Draft:
    """An archive while it arrives. Leaving the block without `keep` removes it."""

    def __init__(self, folder: Path, limit: int, spare: int) -> None:
        self._folder = folder
        self._limit = limit
        self._spare = spare
        self._looked_at = -LOOK_BYTES
        self.path = folder / f".draft-{os.getpid()}-{secrets.token_hex(4)}"
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Draft:
        self._file: BinaryIO = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Add a piece. Raises UsageError (`context-too-big`), StackError (`disk-full`)."""
        self.size += len(data)
        if self.size > self._limit:
            raise UsageError(
                "context-too-big",
                "the build context",
                f"more than {self._limit} bytes",
                hint="leave out what the build does not need with .dockerignore",
                kept="nothing was built",
            )
        if self.size - self._looked_at >= LOOK_BYTES:
            self._looked_at = self.size
            if shutil.disk_usage(self._folder).free < self._spare + len(data):
                raise self._full(OSError(errno.ENOSPC, f"less than {self._spare // 2**20} MiB of disk would be free"))
        self._hash.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise self._full(error) from error

    def flush(self) -> None:
        """Have what was written readable at `path`."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._full(error) from error

    def keep(self) -> str:
        """Give the archive its place, on the disk for good; its digest."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._full(error) from error
        target = self._folder / self._hash.hexdigest()
        self.path.replace(target)
        os.utime(target)
        return f"sha256:{self._hash.hexdigest()}"

    def _full(self, error: OSError) -> StackError:
        return StackError(
            "disk-full" if error.errno == 28 else "context-not-stored",
            str(self._folder),
            f"{error.strerror}",
            hint="make room, then push again",
            kept="nothing was accepted, and nothing is half stored",
        )

"""Where an interrupted upload is taken up again: the addresses that registries gave for it, kept on disk.

A file an upload, of mode 0600: its address is a key to it. Who has it open holds a lock on it, which the kernel takes
back when a process dies, so that no two send to one session.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from registry.file_lock import lock

STALE_SECONDS = 7 * 86400.0
"""Registries forget an upload after a day to a week."""


@dataclass(slots=True)
class Session:
    """One upload. `location` is where it was, or None; without a `descriptor` nothing is kept."""

    location: str | None
    path: Path | None = None
    descriptor: int = -1

    @property
    def kept(self) -> bool:
        """Whether the next call finds it."""
        return self.descriptor >= 0

    def save(self, location: str) -> None:
        """Remember where it is."""
        self.location = location
        if self.kept:
            data = json.dumps({"location": location}).encode()
            # In place, because the lock is on this very file; what is cut short by a crash is no JSON, and ignored.
            os.ftruncate(self.descriptor, 0)
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            os.write(self.descriptor, data)

    def forget(self) -> None:
        """It is done, or of no use any more."""
        self.location = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Sessions:
    """The uploads of one folder, which is made when it is needed; without one nothing is kept."""

    folder: Path | None = None

    @contextmanager
    def open(self, registry: str, repository: str, digest: str) -> Iterator[Session]:
        """The upload of a blob to a repository. Where another process is at it, one that is not kept."""
        if self.folder is None:
            yield Session(None)
            return
        name = hashlib.sha256(f"{registry}/{repository}@{digest}".encode()).hexdigest()
        path = self.folder / name
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # A push does not need it.
            yield Session(None)
            return
        try:
            if not lock(descriptor, wait=False):
                yield Session(None)
                return
            session = Session(_read(descriptor), path, descriptor)
            yield session
            if session.location is None:
                session.forget()
        finally:
            os.close(descriptor)


def sweep(folder: Path | None, now: float | None = None) -> None:
    """Remove the files of a folder that no registry knows any more; best effort. `now` is Unix time."""
    before = (time.time() if now is None else now) - STALE_SECONDS
    for file in folder.glob("*") if folder else ():
        with contextlib.suppress(OSError):
            if file.is_file() and file.stat().st_mtime < before:
                file.unlink()


def _read(descriptor: int) -> str | None:
    try:
        found = json.loads(os.read(descriptor, 1 << 16))["location"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None

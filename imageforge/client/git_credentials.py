"""The passwords of the git remotes that `remote add` set up: a file in the format of git's own credential store."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from imageforge.client.contexts import Contexts

LOCK_SECONDS = 2.0
"""How long git may be at it, which holds the same lock for milliseconds."""
POLL_SECONDS = 0.02


class GitCredentials:
    """The file: an address with user and password a line. git writes it, and we take lines out."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def of_user(cls) -> GitCredentials:
        """Beside the contexts."""
        return cls(Contexts.of_user().folder / "git-credentials")

    def count(self, meant: Callable[[str], bool]) -> int:
        """How many there are with a password that is `meant`; 0 where there is no file, or none that we may read."""
        try:
            return sum(_is(line, meant) for line in self._lines())
        except OSError:
            return 0

    def forget(self, meant: Callable[[str], bool]) -> int:
        """Take those with a password that is `meant` out; how many. Nothing else of the file is changed; one in which
        nothing is left is removed. Raises OSError where it cannot be written, or git does not let go of it."""
        if not self.count(meant):
            return 0
        lock = Path(f"{self.file}.lock")
        # As git does it: what is new is written into the lock, which then takes the file's place.
        with os.fdopen(_taken(lock), "w", encoding="utf-8", errors="surrogateescape") as draft:
            try:
                lines = self._lines()
                left = [line for line in lines if not _is(line, meant)]
                draft.writelines(left)
                draft.flush()
                if left:
                    lock.replace(self.file)
                else:
                    self.file.unlink()
            finally:
                lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.file.parent.rmdir()  # where it held nothing else
        return len(lines) - len(left)

    def _lines(self) -> list[str]:
        return self.file.read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)


def _taken(lock: Path) -> int:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "it is locked by git, or by one that was killed", str(lock)) from None
            time.sleep(POLL_SECONDS)


def _is(line: str, meant: Callable[[str], bool]) -> bool:
    try:
        password = urlsplit(line.strip()).password
    except ValueError:
        return False
    return password is not None and meant(unquote(password))

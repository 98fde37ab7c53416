"""The passwords of the git remotes that `remote add` set up: a file in the format of git's own credential store."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
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
            return sum(_is(line, meant) for line in self.file.read_bytes().split(b"\n"))
        except OSError:
            return 0

    def forget(self, meant: Callable[[str], bool]) -> int:
        """Take those with a password that is `meant` out; how many. Nothing else of the file is changed, its owner and
        mode neither; one in which nothing is left is removed. Raises OSError where it cannot be written so, or git does
        not let go of it."""
        if not self.count(meant):
            return 0
        # As git does it: of a link the target is locked, and what is new is written into the lock, which then takes the
        # target's place.
        file = self.file.resolve()
        lock = Path(f"{file}.lock")
        ours = True
        with os.fdopen(_taken(lock), "wb") as draft:
            try:
                with file.open("rb") as old:
                    lines = old.readlines()
                    left = [line for line in lines if not _is(line, meant)]
                    if left:
                        _make_alike(draft.fileno(), old.fileno())
                draft.writelines(left)
                draft.flush()
                if left:
                    lock.replace(file)
                    ours = False  # the next one of this name is another's
                else:
                    file.unlink()
            finally:
                if ours:
                    lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.file.parent.rmdir()  # where it held nothing else
        return len(lines) - len(left)


def _make_alike(new: int, old: int) -> None:
    """Give one open file the owner and the mode of another: root may clean up for a user, who reads the file later."""
    meant, found = os.fstat(old), os.fstat(new)
    try:
        if (meant.st_uid, meant.st_gid) != (found.st_uid, found.st_gid):
            os.fchown(new, meant.st_uid, meant.st_gid)
        os.fchmod(new, stat.S_IMODE(meant.st_mode))
    except OSError as error:
        raise OSError(error.errno, "its owner and mode cannot be kept") from error


def _taken(lock: Path) -> int:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "it is locked by git, or by one that was killed", str(lock)) from None
            time.sleep(POLL_SECONDS)


def _is(line: bytes, meant: Callable[[str], bool]) -> bool:
    try:
        password = urlsplit(line.decode(errors="surrogateescape").strip()).password
    except ValueError:
        return False
    return password is not None and meant(unquote(password))

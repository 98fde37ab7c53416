"""What hadolint answered before, in a folder: the same text gets the same answer, and a push seldom changes it.

Each answer is a file named by all that decides it, so that there is nothing to be outdated. One that is damaged or away
is asked for anew; a folder that cannot be written is a folder without answers.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib

MOST = 256
"""Answers kept; the oldest go first."""
LARGEST = 1024 * 1024
"""Bytes of an answer that is worth keeping."""


class Memory:
    """The answers in one folder, which is made when there is one to keep. Never raises: it only saves time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def key(*parts: bytes) -> str:
        """A name for an answer, of all that it depends on."""
        digest = _sha256()
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()

    def find(self, key: str) -> str | None:
        """The answer, or None."""
        try:
            kept = (self._folder / key).read_bytes()
        except OSError:
            return None
        proof, _, answer = kept.partition(b"\n")
        # A machine that lost its power may leave a file that is there and not whole.
        if proof.decode("ascii", "replace") != _sha256(answer).hexdigest():
            return None
        return answer.decode("utf-8", "replace")

    def keep(self, key: str, answer: str) -> None:
        """Keep an answer, seen as a whole or not at all by those who look at the same time."""
        data = answer.encode()
        if len(data) > LARGEST:
            return
        draft = self._folder / f".{os.urandom(8).hex()}"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_sha256(data).hexdigest().encode() + b"\n" + data)
            draft.replace(self._folder / key)
            self._forget_oldest()
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _forget_oldest(self) -> None:
        # Drafts count: of one whose writer was killed nothing else would take care.
        there = list(self._folder.iterdir())
        if len(there) <= MOST:
            return
        aged = []
        for file in there:
            with contextlib.suppress(OSError):  # another one may have removed it
                aged.append((file.stat().st_mtime_ns, file))
        for _, file in sorted(aged)[:-MOST]:
            with contextlib.suppress(OSError):
                file.unlink()


def _sha256(data: bytes = b"") -> hashlib._Hash:
    import hashlib  # noqa: PLC0415 - who has no memory need not load it

    return hashlib.sha256(data)

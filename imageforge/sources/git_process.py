"""A run of git: watched while it lasts, killed with all its children when it is too long, too large or not wanted."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imageforge.errors import Cancelled
from imageforge.sources.errors import SourceFailed, SourceRefused
from imageforge.sources.git_environment import GitEnvironment

_TICK = 0.05
"""Seconds between looks at the clock, the folder and the caller's wish; git itself is waited for without them."""
_DYING = 10.0
"""Seconds that killed processes may take to be gone; only one in the middle of a broken disk's I/O takes any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GitResult:
    """How git ended. The output is in a file, as it may be larger than one wants in memory."""

    code: int
    output: Path
    errors: str


class GitProcess:
    """Runs git again and again for one purpose: all runs share one deadline, one folder and one limit of bytes.

    `deadline` is a time of `clock`, in seconds.
    """

    def __init__(
        self,
        environment: GitEnvironment,
        *,
        subject: str,
        deadline: float,
        cancelled: threading.Event | None,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.environment = environment
        self.subject = subject
        self._deadline = deadline
        self._cancelled = cancelled or threading.Event()
        self._max_bytes = max_bytes
        self._clock = clock

    def run(self, *arguments: str) -> GitResult:
        """Run git to its end, whatever its exit code.

        Raises SourceFailed (`git-missing`, `git-timeout`), SourceRefused (`git-too-big`) and Cancelled
        (`git-cancelled`).
        """
        home = self.environment.home
        output, errors = home / "stdout", home / "stderr"
        self._look()
        with output.open("wb") as out, errors.open("wb") as err, _Kin() as kin:
            try:
                process = subprocess.Popen(
                    ["git", *self.environment.options, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    cwd=home,
                    env=self.environment.variables,
                    start_new_session=True,
                    pass_fds=kin.inherited,
                )
            except FileNotFoundError as error:
                raise SourceFailed(
                    "git-missing", "git", "the program is not installed", hint="install git 2.37 or later"
                ) from error
            try:
                while True:
                    try:
                        process.wait(_TICK)
                        break
                    except subprocess.TimeoutExpired:
                        self._look()
            finally:
                _kill(process, kin)
        self._look()
        return GitResult(code=process.returncode, output=output, errors=_tail(errors))

    def _look(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("git-cancelled", self.subject, "was cancelled")
        if self._clock() >= self._deadline:
            raise SourceFailed(
                "git-timeout", self.subject, "took too long", hint="try again, or allow a longer time for large ones"
            )
        if _size(self.environment.home) > self._max_bytes:
            raise SourceRefused(
                "git-too-big",
                self.subject,
                f"sends more than {self._max_bytes} bytes",
                hint="keep large files out of git",
            )


class _Kin:
    """Tells when git and all that it started are gone: each of them inherits the one end of a pipe.

    A killed process goes some time after the signal, and until then holds and makes files in the folder that the
    caller is about to remove. Only git itself can be waited for; its helpers are not our children.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self.inherited = () if sys.platform == "win32" else (self._write,)

    def __enter__(self) -> _Kin:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        os.close(self._read)

    def gone(self, seconds: float) -> bool:
        """Wait that long at most for the last of them."""
        self._leave()
        return bool(select.select([self._read], [], [], seconds)[0])

    def _leave(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1


def _kill(process: subprocess.Popen[bytes], kin: _Kin) -> None:
    """End the group of a process that has not ended yet: git's helpers, curl's and ssh, are in its session.

    Not of one that was waited for, since its number may be somebody else's by now.
    """
    if process.returncode is None:
        if sys.platform == "win32":
            process.kill()
            process.wait()
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kin.gone(_DYING)


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except FileNotFoundError:  # git renames its files when they are whole
                continue
    return total


def _tail(file: Path) -> str:
    with file.open("rb") as source:
        source.seek(max(0, file.stat().st_size - 8192))
        return source.read().decode("utf-8", "replace")

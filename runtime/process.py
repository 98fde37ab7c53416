"""A program in a container that somebody is attached to: its input, its output, its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from runtime.engine_stream import StreamName, read_frame
from runtime.errors import RuntimeFailure

CHUNK = 32 * 1024
_ENGINES_WORDS = re.compile(r'exec: "(?P<program>[^"]*)": (?P<why>.+?)(: unknown)?$', re.DOTALL)
_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh"})
CODE_LOOKS = 500
START_LOOKS = 2000
LOOK_SECONDS = 0.01


class Process(Protocol):
    """What a session needs of a program. Each method may be called from another thread than the others."""

    def read(self) -> tuple[StreamName, bytes] | None:
        """The next piece of its output; None once it has ended, or the engine has."""
        ...

    def write(self, data: bytes) -> None:
        """Give it input; waits until the engine has taken it. What it does not want any more is dropped."""
        ...

    def end_input(self) -> None:
        """There is no more input."""
        ...

    def resize(self, rows: int, columns: int) -> None:
        """Its terminal has another size."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and what it has started in its group."""
        ...

    def code(self) -> int | None:
        """Its exit code once it has ended; None where nobody knows it."""
        ...

    def close(self) -> None:
        """Let go of it: whoever reads or writes is done."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How the engine says that a command in a container stands. `pid` is the host's, 0 where it never ran."""

    running: bool
    pid: int
    code: int | None


class Execution:
    """A command that the engine runs in a container beside the program of the container itself."""

    def __init__(
        self,
        connection: socket.socket,
        output: BinaryIO,
        *,
        tty: bool,
        container_id: str,
        progress: Callable[[], Progress],
        resize: Callable[[int, int], None],
        close: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._output = output
        self._tty = tty
        self._container_id = container_id
        self._progress = progress
        self._resize = resize
        self._close = close
        self._closing = threading.Lock()
        self._closed = False

    def begin(self, subject: str) -> None:
        """Wait until it has started. Raises RuntimeFailure (`command-not-found`, `command-not-executable`,
        `command-not-begun`)."""
        said = self._await_start()
        if said:
            raise not_begun(subject, said)

    def _await_start(self) -> str:
        """Until it has started; where it could not be, what the engine said of it, else nothing."""
        for _ in range(START_LOOKS):
            now = self._progress()
            if now.pid:
                return ""
            if not now.running and now.code is not None:
                said = bytearray()
                while (piece := self.read()) is not None:
                    said += piece[1]
                return said.decode(errors="replace").strip() or f"exit code {now.code}"
            time.sleep(LOOK_SECONDS)
        return "the engine did not say within 20 s that it had begun"

    def read(self) -> tuple[StreamName, bytes] | None:
        """As `Process` has it."""
        with contextlib.suppress(OSError, ValueError):
            if not self._tty:
                return read_frame(self._output)
            piece = self._output.read1(CHUNK)  # type: ignore[attr-defined]
            return ("stdout", piece) if piece else None
        return None

    def write(self, data: bytes) -> None:
        """As `Process` has it."""
        with contextlib.suppress(OSError):
            self._connection.sendall(data)

    def end_input(self) -> None:
        """As `Process` has it."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def resize(self, rows: int, columns: int) -> None:
        """As `Process` has it; one that has ended has no terminal."""
        if rows and columns:
            with contextlib.suppress(RuntimeFailure):
                self._resize(rows, columns)

    def signal(self, number: signal.Signals) -> None:
        """As `Process` has it, where the engine is on this host: it has no call for it."""
        with contextlib.suppress(OSError, RuntimeFailure):
            pid = self._progress().pid
            if not pid:
                return
            watched = os.pidfd_open(pid)
            try:
                # The engine's processes may have other numbers here.
                if self._container_id not in Path(f"/proc/{pid}/cgroup").read_text():
                    return
                if os.getpgid(pid) == pid:
                    os.killpg(pid, number)
                else:
                    signal.pidfd_send_signal(watched, number)
            finally:
                os.close(watched)

    def code(self) -> int | None:
        """As `Process` has it: the engine closes the stream a moment before it knows the code."""
        for _ in range(CODE_LOOKS):
            try:
                now = self._progress()
            except RuntimeFailure:
                return None
            if not now.running and now.code is not None:
                return now.code
            time.sleep(LOOK_SECONDS)
        return None

    def close(self) -> None:
        """As `Process` has it."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._close()


def not_begun(subject: str, said: str) -> RuntimeFailure:
    """The error for a command that could not be started, from what the engine said of it."""
    found = _ENGINES_WORDS.search(said)
    program, why = (found["program"], found["why"]) if found else ("", said)
    message = f'"{program}": {why}' if program else why
    if "not found" in why or "no such file" in why:
        shell = program.rpartition("/")[2] in _SHELLS
        hint = (
            "the image has no shell: name a program that is in it" if shell else "name a program that is in the image"
        )
        return RuntimeFailure("command-not-found", subject, message, hint=hint)
    if "permission denied" in why or "is a directory" in why or "exec format error" in why:
        return RuntimeFailure("command-not-executable", subject, message, hint="name a program that may be executed")
    return RuntimeFailure("command-not-begun", subject, message)

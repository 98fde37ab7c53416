"""This terminal, or whatever stdin and stdout are, joined to a program that runs in a container."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections import deque
from collections.abc import Iterator
from types import FrameType

from imageforge.errors import UsageError
from runtime import Session

INTERRUPTS = 3
"""The one that ends us, where the program in the container does not care."""
CHUNK = 4096
"""Bytes that a pipe which says that it takes some takes without waiting (PIPE_BUF)."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


def require_terminal() -> None:
    """Raise UsageError (`no-terminal`) where stdin is none."""
    if not sys.stdin.isatty():
        raise UsageError("no-terminal", "stdin", "it is no terminal, and -t asks for one", hint="leave -t out")


def size() -> tuple[int, int] | None:
    """Rows and columns; None where there is no terminal."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            found = os.get_terminal_size(stream.fileno())
            return found.lines, found.columns
    return None


def join(session: Session, *, stdin: bool, terminal: bool) -> int:
    """Carry input and output until the program ends; its exit code. Raises KeyboardInterrupt when it is interrupted
    three times, and BrokenPipeError when nobody reads any more."""
    with _raw() if terminal and stdin else contextlib.nullcontext(), _signals(terminal=terminal) as woken:
        return _Joint(session, woken, stdin=stdin, terminal=terminal).run()


class _Joint:
    """One loop over everything that there is to wait for; nothing in it waits for one thing alone."""

    def __init__(self, session: Session, woken: int, *, stdin: bool, terminal: bool) -> None:
        self._session = session
        self._woken = woken
        self._stdin = sys.stdin.fileno() if stdin and sys.stdin else -1
        if stdin and self._stdin < 0:
            session.end_input()
        self._terminal = terminal
        self._outputs = {"stdout": sys.stdout.fileno(), "stderr": sys.stderr.fileno()}
        self._pending: deque[tuple[int, bytes]] = deque()
        self._interrupts = 0
        self._code: int | None = None

    def run(self) -> int:
        while self._code is None or self._pending:
            ready = self._wait()
            if self._woken in ready:
                for number in os.read(self._woken, CHUNK):
                    self._noticed(signal.Signals(number))
            if self._pending and self._pending[0][0] in ready:
                self._write()
            if self._session.fileno() in ready:
                self._hear()
            if self._stdin in ready:
                self._say()
        return self._code

    def _wait(self) -> set[int]:
        wanted = select.poll()
        wanted.register(self._woken, select.POLLIN)
        if self._pending:
            # What is not read here holds the program back.
            wanted.register(self._pending[0][0], select.POLLOUT)
        elif self._code is None:
            wanted.register(self._session.fileno(), select.POLLIN)
        if self._stdin >= 0 and self._session.credit and self._code is None:
            wanted.register(self._stdin, select.POLLIN)
        return {descriptor for descriptor, _ in wanted.poll()}

    def _hear(self) -> None:
        for piece in self._session.receive():
            if piece.code is not None:
                self._code = piece.code
            elif piece.data:
                self._pending.append((self._outputs[piece.stream], piece.data))

    def _write(self) -> None:
        where, data = self._pending.popleft()
        try:
            done = os.write(where, data[:CHUNK])
        except BlockingIOError:
            done = 0
        if done < len(data):
            self._pending.appendleft((where, data[done:]))

    def _say(self) -> None:
        try:
            data = os.read(self._stdin, min(self._session.credit, CHUNK * 8))
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal that was hung up
        if data:
            self._session.send(data)
        else:
            self._stdin = -1
            self._session.end_input()

    def _noticed(self, number: signal.Signals) -> None:
        if number is signal.SIGWINCH:
            found = size()
            if self._terminal and found:
                self._session.resize(*found)
            return
        if number in (signal.SIGINT, signal.SIGTERM):
            self._interrupts += 1
        if number is signal.SIGHUP or self._interrupts >= INTERRUPTS:
            raise KeyboardInterrupt
        self._session.signal(number)


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal gives every key as it is, and is as it was afterwards, whatever happened."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        with contextlib.suppress(termios.error):  # one that was hung up
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals(*, terminal: bool) -> Iterator[int]:
    """A descriptor from which the numbers of the signals that come can be read."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    heard = (*PASSED_ON, signal.SIGHUP, *((signal.SIGWINCH,) if terminal else ()))
    before = {number: signal.signal(number, _heard) for number in heard}
    woke = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(woke)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _heard(number: int, frame: FrameType | None) -> None:
    """Nothing: that it came is read elsewhere."""
    del number, frame

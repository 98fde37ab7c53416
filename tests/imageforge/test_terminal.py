"""A terminal and a program: keys, sizes and signals reach it, and the terminal is as it was afterwards."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.attachment import Attachment
from tests.runtime.stack import ROOT, wait_for
from tests.runtime.test_attachment import Local

Start = Callable[..., "Joined"]


@dataclass
class Joined:
    """A program, and the process that joins a terminal or pipes to it."""

    program: Local
    child: subprocess.Popen[bytes]
    terminal: int = -1

    def read_until(self, text: bytes) -> bytes:
        """What the terminal shows until it shows this."""
        seen = b""
        while text not in seen:
            assert select.select([self.terminal], [], [], 10)[0], seen
            seen += os.read(self.terminal, 4096)
        return seen


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Joins a new program to pipes, or with `raw` to a terminal."""
    with contextlib.ExitStack() as held:

        def join(*command: str, raw: bool = False, stdin: int = subprocess.PIPE) -> Joined:
            program = Local(*command)
            held.callback(program.clean)
            path = tmp_path / "s"
            server = held.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(str(path))
            server.listen()

            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    Attachment(connection, program).run()

            thread = threading.Thread(target=serve)
            thread.start()
            held.callback(thread.join, 10)
            ours, theirs = pty.openpty() if raw else (-1, -1)
            ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs} if raw else {"stdin": stdin}
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.imageforge.joined", str(path), *(["raw"] if raw else [])],
                cwd=ROOT,
                start_new_session=True,
                **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | ends),  # type: ignore[call-overload]
            )
            if raw:
                held.callback(os.close, ours)
                os.close(theirs)
            held.callback(child.wait, 10)
            held.callback(lambda: child.poll() is None and child.kill())
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    held.callback(stream.close)
            return Joined(program=program, child=child, terminal=ours)

        yield join


def is_raw(terminal: int) -> bool:
    return not termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def test_streams_stay_apart_and_the_exit_code_comes_back(start: Start) -> None:
    joined = start("sh", "-c", "cat; echo bad >&2; exit 9")
    out, err = joined.child.communicate(b"some words", timeout=20)
    assert (out, err, joined.child.returncode) == (b"some words", b"bad\n", 9)


def test_much_goes_both_ways_at_once(start: Start) -> None:
    joined = start("cat")
    data = os.urandom(3_000_000)
    out, _ = joined.child.communicate(data, timeout=60)
    assert (out == data, joined.child.returncode) == (True, 0)


def test_the_terminal_gives_every_key_and_is_as_it_was_afterwards(start: Start) -> None:
    joined = start(
        sys.executable, "-c",
        "import os; print('ready', flush=True); data = os.read(0, 1); print(data, flush=True); os.read(0, 9); exit(5)",
        raw=True,
    )  # fmt: skip
    before = termios.tcgetattr(joined.terminal)
    joined.read_until(b"ready")
    assert is_raw(joined.terminal)
    os.write(joined.terminal, b"\x03")
    joined.read_until(b"x03")
    fcntl.ioctl(joined.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    joined.child.send_signal(signal.SIGWINCH)
    wait_for(lambda: joined.program.sizes == [(31, 97)])
    os.write(joined.terminal, b"q")
    assert joined.child.wait(20) == 5
    assert termios.tcgetattr(joined.terminal) == before


@pytest.mark.parametrize("ends_by", ["program", "hangup"])
def test_the_terminal_is_as_it_was_whatever_happened(start: Start, ends_by: str) -> None:
    joined = start("sh", "-c", "echo ready; exec sleep 60", raw=True)
    before = termios.tcgetattr(joined.terminal)
    joined.read_until(b"ready")
    assert is_raw(joined.terminal)
    if ends_by == "program":
        joined.program.signal(signal.SIGKILL)
    else:
        joined.child.send_signal(signal.SIGHUP)
    assert joined.child.wait(20) == (137 if ends_by == "program" else 130)
    assert termios.tcgetattr(joined.terminal) == before


def test_ctrl_c_reaches_the_program_and_the_third_leaves_it(start: Start) -> None:
    joined = start(
        "sh", "-c", "trap 'echo heard' INT; echo ready; while :; do sleep 0.01; done", stdin=subprocess.DEVNULL
    )
    out = joined.child.stdout
    assert out is not None
    assert out.readline() == b"ready\n"
    for _ in range(2):
        joined.child.send_signal(signal.SIGINT)
        assert out.readline() == b"heard\n"
    joined.child.send_signal(signal.SIGINT)
    assert joined.child.wait(20) == 130
    joined.program.child.wait(30)


def test_a_reader_that_has_seen_enough_ends_it(start: Start) -> None:
    joined = start("yes", stdin=subprocess.DEVNULL)
    assert joined.child.stdout is not None
    assert joined.child.stdout.read(2) == b"y\n"
    joined.child.stdout.close()
    joined.child.wait(20)
    assert joined.program.child.wait(30) != 0

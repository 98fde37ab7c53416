"""A program's input and output over the controller's socket: held back on both sides, and ended with either."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Conflict, ControllerUnreachable, RuntimeFailure, Session
from runtime.attachment import MOST, Attachment, Attachments
from runtime.engine_stream import StreamName
from runtime.frames import LARGEST, WINDOW, BadFrame, FrameDecoder, FrameKind, encode_frame
from runtime.process import not_begun
from tests.runtime.stack import wait_for


class Local:
    """A program of this machine, as a session has those in containers."""

    def __init__(self, *command: str) -> None:
        self.child = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.child.stdout
        assert self.child.stderr
        self.names: dict[int, StreamName] = {self.child.stdout.fileno(): "stdout", self.child.stderr.fileno(): "stderr"}
        self.pieces_read = 0
        self.sizes: list[tuple[int, int]] = []

    def read(self) -> tuple[StreamName, bytes] | None:
        while self.names:
            for descriptor in select.select(list(self.names), [], [])[0]:
                if data := os.read(descriptor, 32768):
                    self.pieces_read += len(data)
                    return self.names[descriptor], data
                del self.names[descriptor]
        return None

    def write(self, data: bytes) -> None:
        assert self.child.stdin
        with contextlib.suppress(OSError, ValueError):
            while data:
                data = data[self.child.stdin.write(data) :]

    def end_input(self) -> None:
        assert self.child.stdin
        with contextlib.suppress(OSError, ValueError):
            self.child.stdin.close()

    def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, number)

    def code(self) -> int | None:
        code = self.child.wait(30)
        return 128 - code if code < 0 else code

    def close(self) -> None:
        pass

    def clean(self) -> None:
        self.signal(signal.SIGKILL)
        self.child.wait(30)
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            with contextlib.suppress(OSError):
                assert stream
                stream.close()


Begin = Callable[..., tuple[Session, Local]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Begins a program and gives the caller's end."""
    made: list[tuple[Session, Local, threading.Thread]] = []

    def start(*command: str, attachments: Attachments | None = None) -> tuple[Session, Local]:
        ours, theirs = socket.socketpair()
        process = Local(*command)
        session = Session(ours, "test", "pod/main")
        carry = (attachments or Attachments()).carry
        thread = threading.Thread(target=lambda: (carry(theirs, process), theirs.close()))
        thread.start()
        made.append((session, process, thread))
        return session, process

    yield start
    for session, process, thread in made:
        session.close()
        thread.join(30)
        assert not thread.is_alive()
        process.clean()


def collect(session: Session) -> tuple[bytes, bytes, int]:
    """All that it writes, and its exit code."""
    out = {"stdout": b"", "stderr": b""}
    while True:
        for piece in session.receive():
            if piece.code is not None:
                return out["stdout"], out["stderr"], piece.code
            out[piece.stream] += piece.data


def test_both_streams_and_the_exit_code(begin: Begin) -> None:
    session, _ = begin("sh", "-c", "printf one; printf two >&2; exit 7")
    assert collect(session) == (b"one", b"two", 7)


def test_input_reaches_it_and_ends(begin: Begin) -> None:
    session, _ = begin("wc", "-c")
    left = 400_000
    while left:
        while not session.credit:
            assert session.receive() == []
        session.send(data := b"x" * min(session.credit, 10_000, left))
        left -= len(data)
    session.end_input()
    out, _, code = collect(session)
    assert (int(out), code) == (400_000, 0)


def test_a_program_that_does_not_read_stops_the_caller_and_still_hears_it(begin: Begin) -> None:
    session, process = begin("sh", "-c", "trap 'echo heard; exit 3' INT; echo set; while :; do sleep 0.01; done")
    assert b"".join(piece.data for piece in session.receive()) == b"set\n"
    sent = 0
    while session.credit:
        sent += len(data := b"y" * session.credit)
        session.send(data)
        # What fits into the pipe is taken, and gives new credit.
        while select.select([session], [], [], 0.2)[0]:
            session.receive()
    assert WINDOW <= sent <= WINDOW + 128 * 1024
    session.resize(40, 120)
    session.signal(signal.SIGINT)
    assert collect(session) == (b"heard\n", b"", 3)
    assert process.sizes == [(40, 120)]


def test_a_caller_that_does_not_read_stops_the_program(begin: Begin) -> None:
    session, process = begin(sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'z' * 20_000_000)")
    seen = -1
    while seen != (seen := process.pieces_read) or not seen:
        select.select([], [], [], 0.2)
    assert seen < 4_000_000
    out, _, code = collect(session)
    assert (len(out), code) == (20_000_000, 0)


@pytest.mark.parametrize("command", ["sleep 60", "trap '' HUP; while :; do sleep 0.01; done", "yes"])
def test_the_program_ends_with_its_caller(begin: Begin, command: str) -> None:
    session, process = begin("sh", "-c", command)
    session.close()
    assert process.child.wait(30) in (-signal.SIGHUP, -signal.SIGKILL, 128 + signal.SIGHUP)


def test_all_end_with_the_controller(begin: Begin) -> None:
    attachments = Attachments()
    begun = [begin("sleep", "60", attachments=attachments) for _ in range(3)]
    wait_for(lambda: len(attachments._held) == 3)
    attachments.close()
    for session, process in begun:
        assert collect(session)[2] == 128 + signal.SIGHUP
        assert process.child.wait(30) == -signal.SIGHUP
    late, _ = begin("sleep", "60", attachments=attachments)
    assert collect(late)[2] == 128 + signal.SIGHUP


def test_only_so_many_at_a_time() -> None:
    attachments = Attachments()
    with contextlib.ExitStack() as held:
        for _ in range(MOST):
            held.enter_context(attachments.place())
        with pytest.raises(Conflict, match="attached already"):
            held.enter_context(attachments.place())
    with attachments.place():
        pass


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        encode_frame(FrameKind.SIGNAL, b"SIGSTOP"),
        encode_frame(FrameKind.SIZE, b"1"),
        encode_frame(FrameKind.EXIT, b"0"),
        encode_frame(FrameKind.INPUT, b"x" * LARGEST) * (WINDOW // LARGEST + 3),
    ],
)
def test_who_speaks_something_else_is_not_heard(said: bytes) -> None:
    ours, theirs = socket.socketpair()
    process = Local("sleep", "60")
    attachment = Attachment(theirs, process)
    thread = threading.Thread(target=attachment.run)
    thread.start()
    with ours, theirs:
        # It may have hung up before all of it is written.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            ours.sendall(said)
        assert process.child.wait(30) == -signal.SIGHUP
        thread.join(30)
    process.clean()


def test_a_controller_that_goes_away_is_named() -> None:
    ours, theirs = socket.socketpair()
    session = Session(ours, "/run/controller", "pod/main")
    theirs.sendall(encode_frame(FrameKind.STDOUT, b"half")[:-2])
    assert session.receive() == []
    theirs.close()
    with session, pytest.raises(ControllerUnreachable, match="it closed the connection"):
        session.receive()


@given(st.lists(st.tuples(st.sampled_from(FrameKind), st.binary(max_size=50))), st.integers(1, 7))
def test_frames_come_out_as_they_went_in(frames: list[tuple[FrameKind, bytes]], step: int) -> None:
    raw = b"".join(encode_frame(*frame) for frame in frames)
    decoder, out = FrameDecoder(), []
    for at in range(0, len(raw), step):
        out += decoder.feed(raw[at : at + step])
    assert out == frames


@given(st.binary(min_size=5, max_size=30))
def test_no_bytes_break_the_decoder(raw: bytes) -> None:
    decoder = FrameDecoder()
    with contextlib.suppress(BadFrame):
        for kind, payload in decoder.feed(raw):
            assert isinstance(kind, FrameKind)
            assert len(payload) <= LARGEST


@pytest.mark.parametrize(
    ("said", "code", "message", "hint"),
    [
        (
            'OCI runtime exec failed: exec failed: unable to start container process: exec: "sh": executable file not '
            "found in $PATH: unknown",
            "command-not-found", '"sh": executable file not found in $PATH', "has no shell",
        ),
        ('x: exec: "/no": stat /no: no such file or directory: unknown', "command-not-found", '"/no": stat', "program"),
        ('x: exec: "/a": permission denied: unknown', "command-not-executable", '"/a": permission denied', "may be"),
        ("the container is paused", "command-not-begun", "the container is paused", ""),
    ],
)  # fmt: skip
def test_why_a_command_was_not_begun(said: str, code: str, message: str, hint: str) -> None:
    failure = not_begun("web-1/web", said)
    assert isinstance(failure, RuntimeFailure)
    assert failure.code == code
    assert failure.message.startswith(message)
    assert hint in (failure.hint or "")

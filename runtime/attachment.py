"""The controller's end of a connection that carries a program's input and output.

Three threads: one reads the program and writes to the caller, which holds the program back where the caller does not
read; one reads the caller and never waits for the program; one writes to the program, and says how much it has taken.
Nothing of what passes is kept or logged.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import threading
from collections.abc import Iterator

from runtime.errors import Conflict, RuntimeFailure
from runtime.frames import WINDOW, BadFrame, FrameDecoder, FrameKind, decode_size, encode_frame, encode_number
from runtime.process import Process
from runtime.wire import pack_failure

CHUNK = 32 * 1024
MOST = 32
"""Programs that callers are attached to at a time."""
HANG_UP_SECONDS = 2.0
"""What a program has from SIGHUP, when its caller is gone, to SIGKILL."""
END_SECONDS = 5.0
SIGNALS = frozenset({"SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL"})


class Attachments:
    """Those of one controller: so many at a time, and all of them over when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: set[Attachment] = set()
        self._reserved = 0
        self._closed = False

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Room for one. Raises Conflict (`too-many-sessions`)."""
        with self._lock:
            if self._reserved >= MOST:
                raise Conflict(
                    "too-many-sessions", "controller", f"{MOST} commands are attached already", hint="end one of them"
                )
            self._reserved += 1
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= 1

    def carry(self, connection: socket.socket, process: Process, greeting: bytes = b"") -> None:
        """Connect a caller and a program until either is gone; the caller is greeted first."""
        attachment = Attachment(connection, process, greeting)
        with self._lock:
            self._held.add(attachment)
            closed = self._closed
        try:
            if closed:
                attachment.hang_up()
            attachment.run()
        finally:
            with self._lock:
                self._held.discard(attachment)

    def close(self) -> None:
        """The controller ends: every program is told that its caller is gone."""
        with self._lock:
            self._closed = True
            held = tuple(self._held)
        threads = [threading.Thread(target=attachment.hang_up, daemon=True) for attachment in held]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_UP_SECONDS + 1)


class Attachment:
    """One caller and one program."""

    def __init__(self, connection: socket.socket, process: Process, greeting: bytes = b"") -> None:
        self._greeting = greeting
        self._connection = connection
        self._process = process
        self._sending = threading.Lock()
        self._input: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._under_way = 0
        self._counting = threading.Lock()
        self._ended = threading.Event()
        self._hanging_up = threading.Lock()

    def run(self) -> None:
        """Until the program has ended, or the caller is gone and the program was ended."""
        self._connection.settimeout(None)
        with contextlib.suppress(OSError):
            self._connection.sendall(self._greeting)
        others = [
            threading.Thread(target=target, name=f"attached {target.__name__}", daemon=True)
            for target in (self._hear, self._feed)
        ]
        for thread in others:
            thread.start()
        try:
            there = self._pass_on()
            code = self._process.code()
            self._ended.set()
            if there:
                self._tell_end(code)
        finally:
            self._ended.set()
            self._input.put(None)
            self._process.close()
            with contextlib.suppress(OSError):
                # The one who listens to the caller waits for it.
                self._connection.shutdown(socket.SHUT_RDWR)
            for thread in others:
                thread.join(END_SECONDS)

    def _pass_on(self) -> bool:
        """Output to the caller, until the program has ended; whether the caller is still there. Who listens to the
        caller ends the program of one that is gone, which may have something to say meanwhile."""
        there = True
        while (piece := self._process.read()) is not None:
            stream, data = piece
            kind = FrameKind.STDOUT if stream == "stdout" else FrameKind.STDERR
            for at in range(0, len(data) if there else 0, CHUNK):
                try:
                    self._put(kind, data[at : at + CHUNK])
                except OSError:
                    there = False
                    break
        return there

    def _tell_end(self, code: int | None) -> None:
        with contextlib.suppress(OSError):
            if code is None:
                lost = RuntimeFailure("command-lost", "exec", "the engine does not say how the command ended")
                self._put(FrameKind.ERROR, json.dumps(pack_failure(lost)).encode())
            else:
                self._put(FrameKind.EXIT, encode_number(code))

    def hang_up(self) -> None:
        """The caller is gone: tell the program, and kill it where it does not care."""
        with self._hanging_up:
            if self._ended.is_set():
                return
            self._process.end_input()
            self._process.signal(signal.SIGHUP)
            if not self._ended.wait(HANG_UP_SECONDS):
                self._process.signal(signal.SIGKILL)
                # Where that did not reach it either it goes on by itself.
                self._process.close()

    def _hear(self) -> None:
        """What the caller says, until it says nothing more."""
        decoder = FrameDecoder()
        try:
            while piece := self._connection.recv(CHUNK):
                for kind, payload in decoder.feed(piece):
                    self._obey(kind, payload)
        except (OSError, BadFrame):
            pass
        self.hang_up()

    def _obey(self, kind: FrameKind, payload: bytes) -> None:
        match kind:
            case FrameKind.INPUT:
                with self._counting:
                    self._under_way += len(payload)
                    if self._under_way > WINDOW:
                        raise BadFrame("more input than there was credit for")
                self._input.put(payload)
            case FrameKind.END:
                self._input.put(None)
            case FrameKind.SIZE:
                self._process.resize(*decode_size(payload))
            case FrameKind.SIGNAL:
                name = payload.decode(errors="replace")
                if name not in SIGNALS:
                    raise BadFrame("no such signal")
                self._process.signal(signal.Signals[name])
            case _:
                raise BadFrame("not for the controller")

    def _feed(self) -> None:
        """Input to the program, as fast as it takes it."""
        while (data := self._input.get()) is not None:
            self._process.write(data)
            with self._counting:
                self._under_way -= len(data)
            with contextlib.suppress(OSError):
                self._put(FrameKind.TAKEN, encode_number(len(data)))
        if not self._ended.is_set():
            self._process.end_input()

    def _put(self, kind: FrameKind, payload: bytes) -> None:
        with self._sending:
            self._connection.sendall(encode_frame(kind, payload))

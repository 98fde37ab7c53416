"""The caller's end of a connection that carries a program's input and output."""

from __future__ import annotations

import json
import signal
import socket
from dataclasses import dataclass

from runtime.errors import ControllerUnreachable
from runtime.frames import (
    LARGEST,
    WINDOW,
    BadFrame,
    FrameDecoder,
    FrameKind,
    decode_number,
    encode_frame,
    encode_size,
)
from runtime.wire import unpack_failure


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What the program said: output of `stream`, or at its end its exit `code`."""

    stream: str = ""
    data: bytes = b""
    code: int | None = None


class Session:
    """One program that was begun. For one thread, which waits for `fileno` to be readable and then calls `receive`.
    Every method raises ControllerUnreachable (`controller-lost`) once the controller is gone."""

    def __init__(self, connection: socket.socket, target: str, where: str) -> None:
        """`where` is the pod and the container that it runs in."""
        self.where = where
        self._connection = connection
        self._decoder = FrameDecoder()
        self._credit = WINDOW
        self.target = target

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Of the connection."""
        return self._connection.fileno()

    @property
    def credit(self) -> int:
        """How many bytes of input may be sent now."""
        return min(self._credit, LARGEST)

    def send(self, data: bytes) -> None:
        """Give the program input, at most `credit` bytes."""
        assert len(data) <= self.credit, "the caller looks at the credit"
        self._credit -= len(data)
        self._put(FrameKind.INPUT, data)

    def end_input(self) -> None:
        """There is no more input."""
        self._put(FrameKind.END)

    def resize(self, rows: int, columns: int) -> None:
        """The terminal has this size."""
        self._put(FrameKind.SIZE, encode_size(rows, columns))

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self._put(FrameKind.SIGNAL, number.name.encode())

    def receive(self) -> list[Piece]:
        """What has come; waits for it. Raises what the controller says went wrong."""
        try:
            piece = self._connection.recv(LARGEST)
            frames = self._decoder.feed(piece)
        except (OSError, BadFrame) as error:
            raise self._lost(str(error)) from error
        if not piece:
            raise self._lost("it closed the connection")
        out = []
        for kind, payload in frames:
            match kind:
                case FrameKind.STDOUT | FrameKind.STDERR:
                    out.append(Piece(stream=kind.name.lower(), data=payload))
                case FrameKind.TAKEN:
                    self._credit += decode_number(payload)
                case FrameKind.EXIT:
                    out.append(Piece(code=decode_number(payload)))
                case FrameKind.ERROR:
                    raise unpack_failure(json.loads(payload))
                case _:
                    raise self._lost(f"it sent {kind.name}, which is for it to be sent")
        return out

    def close(self) -> None:
        """Let go. A program that has not ended is told so by SIGHUP."""
        self._connection.close()

    def _put(self, kind: FrameKind, payload: bytes = b"") -> None:
        try:
            self._connection.sendall(encode_frame(kind, payload))
        except OSError as error:
            raise self._lost(str(error)) from error

    def _lost(self, reason: str) -> ControllerUnreachable:
        return ControllerUnreachable(
            "controller-lost", self.target, f"the controller went away: {reason}", hint="imageforge up"
        )

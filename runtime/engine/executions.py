"""Commands in containers that run."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import docker

from runtime.container import Execution
from runtime.engine.connection import TIMEOUT, Connection
from runtime.errors import EngineError
from runtime.process import Execution as LiveExecution
from runtime.process import Progress

MOST_OUTPUT = 10 * 1024
"""Bytes of a command's output that are kept, as the kubelet does (kubernetes/pkg/probe/exec)."""
CODE_LOOKS = 100
CODE_LOOK_SECONDS = 0.01


class Executions(Connection):
    """Commands that the engine runs in its containers."""

    def execute(self, container_id: str, command: Sequence[str], timeout: float | None) -> Execution:
        """Run a command in a running container, with its user and its variables; killed after `timeout` seconds where
        the engine is on this host, given up elsewhere."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.translated(container_id[:12]) as api:
            made: str = api.exec_create(container_id, list(command))["Id"]
            stream: Any = api.exec_start(made, socket=True)
            connection = getattr(stream, "_sock", stream)
            try:
                output = _until_end(connection, deadline)
            except TimeoutError:
                self._kill_execution(api, made, container_id)
                return Execution(code=None)
            finally:
                # What the SDK gives out is a part of the answer: that first, and then what it was read from.
                with contextlib.suppress(AttributeError, ValueError, OSError):
                    stream._response.close()
                connection.close()
            code = _exit_code(api, made)
        return Execution(code=code, output=output.decode(errors="replace"))

    def attach(self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool) -> LiveExecution:
        """Begin a command in a running container, with its user and its variables, and hold its streams. Each has
        connections of its own: those of the others are not to run out."""
        client: docker.APIClient | None = None
        try:
            with self.translated(container_id[:12]):
                client = docker.APIClient(base_url=self.host, timeout=TIMEOUT)
                made: str = client.exec_create(container_id, list(command), stdin=stdin, tty=tty)["Id"]
                stream: Any = client.exec_start(made, tty=tty, socket=True)
        except EngineError:
            if client is not None:
                client.close()
            raise
        connection = getattr(stream, "_sock", stream)
        connection.settimeout(None)
        return LiveExecution(
            connection,
            # By way of the buffer that the head of the answer was read with: it may hold the first of what follows.
            stream._response.raw._fp.fp,
            tty=tty,
            container_id=container_id,
            progress=lambda: self._progress(made),
            resize=lambda rows, columns: self._resize(made, rows, columns),
            close=lambda: _let_go(client, stream),
        )

    def _progress(self, execution: str) -> Progress:
        with self.translated(f"exec {execution[:12]}") as api:
            found = api.exec_inspect(execution)
        return Progress(running=bool(found["Running"]), pid=int(found["Pid"] or 0), code=found["ExitCode"])

    def _resize(self, execution: str, rows: int, columns: int) -> None:
        with self.translated(f"exec {execution[:12]}") as api:
            api.exec_resize(execution, height=rows, width=columns)

    def _kill_execution(self, api: docker.APIClient, execution: str, container_id: str) -> None:
        """The engine has no call for it. What is killed is seen to be of that container: the engine's processes may
        have other numbers here."""
        with contextlib.suppress(OSError):
            pid = int(api.exec_inspect(execution)["Pid"])
            watched = os.pidfd_open(pid)
            try:
                if container_id in Path(f"/proc/{pid}/cgroup").read_text():
                    signal.pidfd_send_signal(watched, signal.SIGKILL)
            finally:
                os.close(watched)


def _let_go(client: docker.APIClient, stream: Any) -> None:
    # What the SDK gives out is a part of the answer: that first, and then what it was read from.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        stream._response.close()
    with contextlib.suppress(OSError, ValueError):
        stream.close()
    client.close()


def _until_end(stream: socket.socket, deadline: float | None) -> bytes:
    """The beginning of what a command writes, once it has ended. Raises TimeoutError."""
    raw = bytearray()
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        stream.settimeout(left)
        piece = stream.recv(65536)
        if not piece:
            return _unframed(bytes(raw))
        raw += piece[: max(0, MOST_OUTPUT - len(raw))]


def _unframed(raw: bytes) -> bytes:
    """The engine parts both streams into frames with a head of eight bytes: stream, three zeros, length."""
    out, at = bytearray(), 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        out += raw[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(out)


def _exit_code(api: docker.APIClient, execution: str) -> int | None:
    """The engine closes the stream a moment before it knows the code."""
    for _ in range(CODE_LOOKS):
        found = api.exec_inspect(execution)
        if not found["Running"] and found["ExitCode"] is not None:
            return int(found["ExitCode"])
        time.sleep(CODE_LOOK_SECONDS)
    return None

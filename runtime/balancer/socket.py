"""One question, one answer, over HAProxy's runtime socket or its master's."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import BalancerError

TIMEOUT = 5.0
_PROMPT = b"\n> "


@dataclass(frozen=True, slots=True)
class CommandSocket:
    """A Unix socket that speaks HAProxy's command line; each question is a connection of its own."""

    path: Path

    def ask(self, command: str) -> str:
        """The answer to one line; raises BalancerError ``balancer-unreachable`` where nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT)
                connection.connect(str(self.path))
                connection.sendall(command.encode() + b"\n")
                # The master keeps the line open for another command until it sees the end of ours.
                connection.shutdown(socket.SHUT_WR)
                return _read_all(connection).decode(errors="replace").strip()
        except OSError as error:
            raise BalancerError(
                "balancer-unreachable", str(self.path), f"HAProxy does not answer: {error}", hint="imageforge up"
            ) from error


class WorkerSession:
    """A conversation with one process of HAProxy, held open over a reload: the process does not end before it does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(TIMEOUT)
        try:
            self._connection.connect(str(path))
            self.ask("prompt")
        except (OSError, BalancerError) as error:
            self.close()
            raise BalancerError("balancer-unreachable", str(path), f"HAProxy does not answer: {error}") from error

    def ask(self, command: str) -> str:
        """The answer to one line; raises BalancerError where the process is gone."""
        try:
            self._connection.sendall(command.encode() + b"\n")
            answer = b""
            while not answer.endswith(_PROMPT):
                chunk = self._connection.recv(65536)
                if not chunk:
                    raise ConnectionResetError("it ended")
                answer += chunk
        except OSError as error:
            raise BalancerError("balancer-unreachable", str(self._path), f"the old process is gone: {error}") from error
        return answer.removesuffix(_PROMPT).decode(errors="replace").strip()

    def close(self) -> None:
        """Let the process go."""
        self._connection.close()


def _read_all(connection: socket.socket) -> bytes:
    chunks: list[bytes] = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)

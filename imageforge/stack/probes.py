"""Whether a daemon answers, in its own protocol. Each gives None when it does, else what is amiss."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

TIMEOUT = 2.0
"""Seconds a daemon on this machine may take to answer before it counts as not ready."""


class UnixHTTPConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float = TIMEOUT) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's path instead of an address."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def http_ok(host: str, port: int, path: str, *, status: int = 200) -> str | None:
    """A GET that must answer so."""
    return _get(http.client.HTTPConnection(host, port, timeout=TIMEOUT), path, status)


def engine_ok(path: Path) -> str | None:
    """Docker's /_ping over its socket."""
    return _get(UnixHTTPConnection(path), "/_ping")


def _get(connection: http.client.HTTPConnection, path: str, expected: int = 200) -> str | None:
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    return None if status == expected else f"answered {status} to GET {path}"


def redis_ok(path: Path) -> str | None:
    """Redis' PING; LOADING while it reads its append-only file is not ready yet."""
    return _ask(path, b"PING\r\n", expected="+PONG")


def haproxy_ok(path: Path) -> str | None:
    """HAProxy's runtime API."""
    return _ask(path, b"show info\n", expected="Name: HAProxy")


def listens(path: Path) -> str | None:
    """A Unix socket that somebody accepts connections on."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(path))
    except OSError as error:
        return f"no answer: {error}"
    return None


def _ask(path: Path, question: bytes, *, expected: str) -> str | None:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(str(path))
            connection.sendall(question)
            answer = connection.recv(4096).decode(errors="replace")
    except OSError as error:
        return f"no answer: {error}"
    return None if answer.startswith(expected) else f"answered {answer.splitlines()[:1]}"

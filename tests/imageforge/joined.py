"""A terminal joined to a session on a socket: ``python -m tests.imageforge.joined SOCKET [raw]``; a process of its own,
so that it can have a terminal of its own, and be killed."""

from __future__ import annotations

import socket
import sys

from imageforge.cli import terminal
from runtime import Session


def main(path: str, *words: str) -> int:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    raw = "raw" in words
    with Session(connection, path, "pod/main") as session:
        return terminal.join(session, stdin=True, terminal=raw)


if __name__ == "__main__":
    try:
        code = main(*sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)

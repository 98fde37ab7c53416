"""Who runs the hooks: a process that has everything loaded and forks for each, so that a push does not wait for Python.

The hook that git starts (`relay`) hands over its standard streams, its folder and its environment through a socket of
mode 0600, and waits for the exit code. Without a runner it does the work itself, later by half a second.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import traceback
from pathlib import Path

import linters
from imageforge.config import Home
from imageforge.git_remote.program import run_hook
from imageforge.git_remote.relay import LARGEST, STREAMS

log = logging.getLogger(__name__)


def serve(path: Path) -> None:
    """Run hooks until SIGTERM. Those that are under way see that we are gone, and wait for no build any more."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    listener.bind(str(path))
    os.umask(before)
    listener.listen(64)
    # Children are nobody's to wait for: each has told its hook all there is to tell.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    runner = os.getpid()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            os._exit(_child(connection, runner))
        connection.close()


def _child(connection: socket.socket, runner: int) -> int:
    code = 1
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    try:
        data, streams, _, _ = socket.recv_fds(connection, LARGEST, STREAMS)
        while not data.endswith(b"\n"):
            more = connection.recv(LARGEST)
            if not more:
                return 1
            data += more
        asked = json.loads(data)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environ"])
        code = run_hook(asked["hook"], holder=asked["parent"], stopping=lambda: os.getppid() != runner)
        sys.stdout.flush()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # whoever only looked whether we are there is gone
            connection.sendall(bytes([code]))
    return code


def main() -> None:
    """``python -m imageforge.git_remote.runner --home HOME``; started by the supervisor."""
    parser = argparse.ArgumentParser(prog="imageforge.git_remote.runner")
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    linters.warm()
    # What each hook is forked with is no garbage: its collector need not go through it, nor copy its pages.
    gc.freeze()
    serve(Home(arguments.home).hooks_socket)


if __name__ == "__main__":
    main()

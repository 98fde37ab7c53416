"""Running a program whose output is read as it comes and whose whole process group ends with the call.

The child leads a session of its own: Ctrl-C on the terminal reaches the caller alone, which then ends the child and
what it started.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_POLL = 0.1  # seconds between two looks at `cancelled` while the child is silent
_GRACE = 1.0  # seconds between SIGTERM and SIGKILL, where the caller names no other time
_CHUNK = 64 * 1024


class Stopped(Exception):
    """`cancelled` was set while the program ran; it and its group are gone."""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    on_output: Callable[[bytes], None],
    cancelled: threading.Event | None = None,
    cwd: Path | None = None,
) -> int:
    """The exit code. Standard output and error arrive together at `on_output`. Raises Stopped, or OSError where the
    program cannot be started; whatever is raised, no process of the group is left."""
    process = subprocess.Popen(
        list(command),
        env=dict(environment),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        _pump(process.stdout, on_output, cancelled)
        return _wait(process, cancelled)
    finally:
        end_group(process)
        process.stdout.close()


def end_group(process: subprocess.Popen[bytes], *, grace: float = _GRACE) -> None:
    """Ends `process` and its group: SIGTERM, `grace` seconds, SIGKILL. Does nothing to a group that is gone."""
    if process.poll() is None:
        _signal_group(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace)
    # The leader may be gone and its children not.
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _pump(stream: IO[bytes], on_output: Callable[[bytes], None], cancelled: threading.Event | None) -> None:
    """Hands on what the program writes until it closes its output."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if cancelled is not None and cancelled.is_set():
                raise Stopped
            if not selector.select(timeout=_POLL):
                continue
            chunk = os.read(stream.fileno(), _CHUNK)
            if not chunk:
                return
            on_output(chunk)


def _wait(process: subprocess.Popen[bytes], cancelled: threading.Event | None) -> int:
    """Waits for a program that has closed its output, which is mostly gone already."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=_POLL)
        if cancelled is not None and cancelled.is_set():
            raise Stopped

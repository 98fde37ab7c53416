"""Programs that are run: what they say arrives, and nothing of them is left."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from builders import process

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    time.sleep(600)
os.write(1, b"%d %d" % (os.getpid(), child))
time.sleep(600)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped by its new parent has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while not all(gone(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


def group_gone(group: int) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        os.sched_yield()
    return False


def test_output_and_exit_code() -> None:
    said: list[bytes] = []
    code = process.run(
        python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"),
        environment=dict(os.environ),
        on_output=said.append,
    )
    assert code == 7
    assert sorted(b"".join(said).split()) == [b"err", b"out"]


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/no/such/program"], environment={}, on_output=lambda _: None)


def test_cancelling_ends_the_whole_group() -> None:
    cancelled, pids = threading.Event(), list[int]()
    began = 0.0

    def on_output(chunk: bytes) -> None:
        nonlocal began
        pids.extend(int(word) for word in chunk.split())
        began = time.monotonic()
        cancelled.set()

    with pytest.raises(process.Stopped):
        process.run(python(STUBBORN), environment=dict(os.environ), on_output=on_output, cancelled=cancelled)
    assert time.monotonic() - began < 20
    assert len(pids) == 2
    assert all_gone(pids)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_is_raised_ends_the_group(error: type[BaseException]) -> None:
    pids: list[int] = []

    def on_output(chunk: bytes) -> None:
        pids.extend(int(word) for word in chunk.split())
        raise error

    with pytest.raises(error):
        process.run(python(STUBBORN), environment=dict(os.environ), on_output=on_output)
    assert all_gone(pids)


def test_an_interrupt_from_the_terminal_propagates() -> None:
    pids: list[int] = []

    def on_output(chunk: bytes) -> None:
        pids.extend(int(word) for word in chunk.split())
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        process.run(python(STUBBORN), environment=dict(os.environ), on_output=on_output)
    assert all_gone(pids)


def test_a_child_that_outlives_its_parent_is_ended() -> None:
    said: list[bytes] = []
    code = "import os, time\nif os.fork() == 0:\n    os.close(1); os.close(2); time.sleep(600)\n"
    code += "os.write(1, b'%d' % os.getpid())"
    process.run(python(code), environment=dict(os.environ), on_output=said.append)
    assert group_gone(int(b"".join(said)))

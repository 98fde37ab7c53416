"""Ctrl-C and SIGTERM are heard wherever they come, also in the middle of a wait for them."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from imageforge.pipeline import interrupt
from imageforge.pipeline.interrupt import Cancellation, cancelled_by_interrupt
from imageforge.report.transfer import Transfer
from imageforge.store.turn import Turn

NOW = partial(signal.raise_signal, signal.SIGINT)
"""Has no frame of Python's: a handler finds the one that calls it."""

WAITING = """
import os, signal, sys, threading
from imageforge.pipeline.interrupt import cancelled_by_interrupt

sys.setswitchinterval(0.00001)
for turn in range(400):
    with cancelled_by_interrupt() as cancelled:
        sent = threading.Timer(0.0005 + turn * 0.000003, os.kill, (os.getpid(), signal.SIGINT))
        try:
            sent.start()
            while not cancelled.wait(0):
                pass
        except KeyboardInterrupt:
            pass
    sent.join()
    assert cancelled.is_set(), turn
"""


def test_a_signal_in_the_middle_of_a_wait_is_heard() -> None:
    """An event with a lock, which the waiting thread holds as the handler runs, would never be set."""
    subprocess.run([sys.executable, "-c", WAITING], timeout=90, check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with cancelled_by_interrupt() as cancelled:
        assert not cancelled.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert cancelled.is_set()
    assert signal.getsignal(number) is before


def test_who_waits_goes_on_once_it_is_cancelled() -> None:
    cancelled = Cancellation()
    begun = time.monotonic()
    assert not cancelled.wait(0.05)
    assert time.monotonic() - begun >= 0.05
    heard: list[bool] = []
    waiting = threading.Thread(target=lambda: heard.append(cancelled.wait()))
    waiting.start()
    cancelled.set()
    waiting.join(30)
    assert heard == [True]
    assert cancelled.wait(0)
    cancelled.clear()
    assert not cancelled.wait(0)


def endlessly() -> None:
    """What an interrupt ends."""
    while True:
        time.sleep(0.01)


def test_a_lock_that_was_just_taken_is_given_back() -> None:
    """Raised between the two, it would be had for ever: a thread waits for it then, and we for the thread."""
    lock = threading.Lock()
    condition = threading.Condition(lock)
    lock.acquire()
    condition._lock = SimpleNamespace(__enter__=NOW, __exit__=lock.__exit__)  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt() as cancelled:  # noqa: PT012
        with condition:
            assert not cancelled.is_set()
        endlessly()
    assert cancelled.is_set()
    assert not lock.locked()


def test_who_waits_for_another_thread_is_interrupted() -> None:
    event = threading.Event()
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        sent = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        sent.start()
        event.wait()
    sent.join()
    event.set()


def test_the_store_is_asked_for_its_lock_where_no_interrupt_parts_that_from_the_block() -> None:
    assert Turn.__module__ in interrupt.BETWEEN


def test_an_import_is_not_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised where a class names its attributes comes out as a RuntimeError."""
    (tmp_path / "parted_module.py").write_text(
        "import signal\n"
        "class Attribute:\n"
        "    def __set_name__(self, owner, name):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "class Owner:\n"
        "    attribute = Attribute()\n"
        "whole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        import parted_module  # type: ignore[import-not-found]

        endlessly()
    assert sys.modules.pop("parted_module").whole
    assert parted_module.whole


EVALUATED = """
import signal, sys, time
from imageforge.pipeline.interrupt import cancelled_by_interrupt

def endlessly():
    while True:
        time.sleep(0.01)

try:
    with cancelled_by_interrupt():
        eval("[signal.raise_signal(signal.SIGINT), time.sleep(0.1)]")
        endlessly()
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupt_in_what_is_evaluated_leaves_us_our_exit_code(tmp_path: Path) -> None:
    """Python remembers one that came out of a text, and kills itself by SIGINT in the end, though it was handled."""
    (tmp_path / "evaluated.py").write_text(EVALUATED)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-m", "evaluated"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=60, check=False)
    assert done.returncode == 130


def test_the_reading_of_a_command_line_is_not_parted() -> None:
    """argparse changes its own options for a time, and puts back what it had no time to change."""

    class Formatter(argparse.HelpFormatter):
        def __init__(self, prog: str) -> None:
            NOW()
            super().__init__(prog)

    parser = argparse.ArgumentParser()
    parser.add_argument("numbers", nargs="*", type=int)
    parser.formatter_class = Formatter
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        assert parser.parse_intermixed_args(["1"]).numbers == [1]
        endlessly()


def test_a_folder_for_the_time_is_removed_all_the_same(tmp_path: Path) -> None:
    made = tempfile.TemporaryDirectory(dir=tmp_path)
    made._rmtree = lambda name, **_: (NOW(), time.sleep(0.01), Path(name).rmdir())  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        with made:
            pass
        assert list(tmp_path.iterdir()) == []
        endlessly()
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_was_begun_is_known_to_who_must_end_it() -> None:
    child = None
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        child = subprocess.Popen(
            ["sleep", "60"],
            preexec_fn=lambda: (os.kill(os.getppid(), signal.SIGINT), time.sleep(0.05)),  # noqa: PLW1509
        )
        endlessly()
    assert child is not None
    child.kill()
    child.wait()


def test_an_interrupt_is_not_lost_in_what_clears_up_after_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    class Cleared:
        def __del__(self) -> None:
            NOW()

    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        one = Cleared()
        del one
        endlessly()
    assert capsys.readouterr().err == ""


def test_one_that_waits_is_raised_at_the_end_of_the_block_at_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt.Interrupting, "_must_wait", lambda *_: True)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():
        NOW()
    time.sleep(5 * interrupt.AGAIN_SECONDS)  # nothing comes behind it
    assert signal.getsignal(signal.SIGINT) is before


def test_one_that_may_not_be_raised_is_raised_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt.Interrupting, "_must_wait", lambda *_: True)
    monkeypatch.setattr(interrupt, "PATIENCE", 0.05)
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        NOW()
        endlessly()


def test_only_another_signal_is_a_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def must_wait(*_: object) -> bool:
        looks.append(1)
        return len(looks) < 5

    monkeypatch.setattr(interrupt.Interrupting, "_must_wait", must_wait)
    again: list[str] = []
    with cancelled_by_interrupt(second=lambda: again.append("again")):
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            NOW()
            endlessly()
        assert (len(looks), again) == (5, [])
        with pytest.raises(KeyboardInterrupt):
            NOW()
        assert again == ["again"]


def test_a_cursor_that_was_hidden_is_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    transfer = Transfer()
    stopped: list[bool] = []
    monkeypatch.setattr(transfer, "_bars", SimpleNamespace(start=NOW, stop=lambda: stopped.append(True)))
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt(), transfer:
        endlessly()
    assert stopped == [True]


AT_IMPORT = """
import signal, sys
from imageforge.cli.main import main

where = sys.argv.pop(1)

class Finder:
    def find_spec(self, name, *_):
        if name == where:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
main()
"""
AT_EXIT = """
import atexit, signal, sys
from imageforge.cli.main import main

del sys.argv[1]
atexit.register(signal.raise_signal, signal.SIGINT)
main()
"""


@pytest.mark.parametrize(
    ("script", "where"),
    [
        (AT_IMPORT, "imageforge.pipeline.interrupt"),
        (AT_IMPORT, "imageforge.cli.ending"),
        (AT_IMPORT, "imageforge.cli.tree"),
        (AT_IMPORT, "typer"),
        (AT_IMPORT, "imageforge.cli.lint"),
        (AT_EXIT, "after the end"),
    ],
)
def test_a_command_that_is_interrupted_before_or_behind_its_work_says_no_more(
    script: str, where: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:12\n" + "RUN true\n" * 300)
    command = ["lint", str(tmp_path)] if where.endswith("lint") else ["rules"]
    done = subprocess.run(
        [sys.executable, "-c", script, where, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) in [(130, "interrupted\n"), (130, "")], done.stderr

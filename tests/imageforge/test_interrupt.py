"""Ctrl-C and SIGTERM are heard wherever they come, also in the middle of a wait for them."""

from __future__ import annotations

import argparse
import operator
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from imageforge.pipeline import interrupt
from imageforge.pipeline.interrupt import Cancellation, Interrupting, cancelled_by_interrupt, interrupted_by
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.report.transfer import Transfer
from imageforge.store import Database

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


@pytest.mark.parametrize("of", ["thread", "executor", "event", "output", "child"])
def test_a_wait_for_another_thread_or_a_child_is_interrupted_soon(of: str) -> None:
    """Where Python waits differs by its version: one that is not known is left after `PATIENCE` alone."""
    let = threading.Event()
    executor = ThreadPoolExecutor(1)
    executor.submit(let.wait)
    thread = threading.Thread(target=let.wait)
    thread.start()
    child = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE)
    waits: dict[str, Callable[[], object]] = {
        "thread": thread.join,
        "executor": executor.shutdown,
        "event": threading.Event().wait,
        "output": child.communicate,
        "child": child.wait,
    }
    sent = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
            sent.start()
            waits[of]()
        assert time.monotonic() - begun < 3 < interrupt.PATIENCE
    finally:
        let.set()
        child.kill()
        child.communicate()
        for one in (sent, thread):
            one.join()
        executor.shutdown()


def test_the_store_s_lock_is_given_back_though_an_interrupt_comes_as_it_is_had(tmp_path: Path) -> None:
    class Had:
        """What is asked, in the instruction behind the one that takes the lock, whether that was done."""

        __bool__ = staticmethod(partial(all, map(operator.not_, map(signal.raise_signal, [signal.SIGINT]))))

    with Database.at(tmp_path / "s.sqlite") as database:
        lock = database._turn._lock  # type: ignore[union-attr]
        taken = SimpleNamespace(acquire=lambda timeout: lock.acquire(timeout=timeout) and Had(), release=lock.release)
        database._turn._lock = taken  # type: ignore[union-attr]
        interrupted = pytest.raises(KeyboardInterrupt)
        with interrupted, cancelled_by_interrupt() as cancelled, database.writing():
            assert not cancelled.is_set()
            endlessly()
        with ThreadPoolExecutor(1) as other:
            assert other.submit(lock.acquire, timeout=0).result()


def test_one_that_comes_in_the_handler_of_another_does_not_leave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would come out in the place that the first one waits for the end of."""
    lock = threading.Lock()
    condition = threading.Condition(lock)
    lock.acquire()
    condition._lock = SimpleNamespace(__enter__=NOW, __exit__=lock.__exit__)  # type: ignore[attr-defined]
    began = interrupt._thread.start_new_thread
    more = [signal.SIGTERM]

    def begin(*arguments: object) -> int:
        while more:
            signal.raise_signal(more.pop())
        return began(*arguments)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(interrupt, "_thread", SimpleNamespace(**{**vars(interrupt._thread), "start_new_thread": begin}))
    again: list[str] = []
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt(lambda: again.append("again")):  # noqa: PT012
        with condition:
            time.sleep(0)
            held = True
        endlessly()
    assert (held, more, again) == (True, [], ["again"])
    assert not lock.locked()


def test_two_handlers_whose_signals_come_at_once_are_both_heard() -> None:
    class Other(KeyboardInterrupt):
        pass

    first = Interrupting(first=lambda: signal.raise_signal(signal.SIGTERM))
    both = {signal.SIGINT: first, signal.SIGTERM: Interrupting(Other)}
    with interrupted_by(both), pytest.raises(Other):  # noqa: PT012
        with pytest.raises(KeyboardInterrupt) as raised:
            NOW()
        assert raised.type is KeyboardInterrupt
        endlessly()


@pytest.mark.parametrize("block", ["interrupted", "uninterrupted"])
def test_handlers_are_put_back_though_more_signals_come_meanwhile(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = signal.signal
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]

    def parted(number: signal.Signals, handler: signal._HANDLER) -> signal._HANDLER:
        for one, was in zip(numbers, before, strict=True):
            if signal.getsignal(one) is not was:
                signal.raise_signal(one)
        return real(number, handler)

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with cancelled_by_interrupt() as cancelled:
            if block == "uninterrupted":
                ours = [signal.getsignal(number) for number in numbers]
                with pytest.raises(KeyboardInterrupt), uninterrupted():
                    monkeypatch.setattr(signal, "signal", parted)
                monkeypatch.undo()
                assert [signal.getsignal(number) for number in numbers] == ours
            monkeypatch.setattr(signal, "signal", parted)
        pytest.fail("the one that came is lost")
    monkeypatch.undo()
    assert cancelled.is_set()
    assert [signal.getsignal(number) for number in numbers] == before
    time.sleep(0.1)  # nothing comes behind it


def test_one_is_raised_later_where_no_thread_can_be_sent_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.delattr(signal, "pthread_kill")
    looks: list[int] = []
    monkeypatch.setattr(Interrupting, "_must_wait", lambda *_: looks.append(1) or len(looks) < 3)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        NOW()
        while time.monotonic() - begun < 3:
            time.sleep(0.01)
    assert time.monotonic() - begun < 3


def test_one_that_waits_for_long_is_tried_ever_less(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(Interrupting, "_must_wait", lambda *_: looks.append(1) or True)
    monkeypatch.setattr(interrupt, "PATIENCE", 0.5)
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        NOW()
        endlessly()
    assert 3 < len(looks) < 25


def test_a_function_that_was_made_of_a_text_is_interrupted_at_once() -> None:
    """SQLAlchemy's decorators make such ones, and all that they decorate is called by them."""
    made: dict[str, object] = {}
    exec("def call(function):\n    return function()", made)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), cancelled_by_interrupt():  # noqa: PT012
        sent = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        sent.start()
        made["call"](endlessly)  # type: ignore[operator]
    sent.join()
    assert time.monotonic() - begun < 3


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
        (AT_EXIT, "after rules"),
        (AT_EXIT, "after lint"),
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
    # It waits for the end of the import, and typer says nothing of one that it ends by.
    quiet = where in {"imageforge.cli.ending", "imageforge.cli.tree", "typer"}
    assert (done.returncode, done.stderr) in [(130, "interrupted\n"), *([(130, "")] if quiet else [])]


UNFLUSHED = """
import gc, signal
from imageforge.cli import main

main.run = lambda _: print("told") or 0
gc.freeze = lambda: signal.raise_signal(signal.SIGINT)  # what is done once the command has ended
main.main()
"""


def test_what_a_command_has_said_is_not_lost_by_an_interrupt_behind_it() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", UNFLUSHED]
    done = subprocess.run(command, env=buffered, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "told\n", "interrupted\n")


@pytest.mark.parametrize("script", [AT_IMPORT, AT_EXIT])
def test_a_command_that_is_interrupted_has_its_exit_code_though_nothing_can_be_said(script: str) -> None:
    command = [sys.executable, "-c", script, "imageforge.cli.tree", "rules"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command], stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert done.returncode == 130

"""Ending a run early: Ctrl-C and SIGTERM cancel it, a worker that stops hands it back."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FrameType
from typing import NoReturn

LOOK_SECONDS = 0.02
AGAIN_SECONDS = 0.001
PATIENCE = 5.0
"""Seconds until an interrupt is heard in any place: nothing below takes as long."""
BETWEEN = frozenset(
    {
        "concurrent.futures._base",
        "concurrent.futures.thread",
        "contextlib",
        "httpcore._synchronization",
        "imageforge.store.turn",
        "logging",
        "queue",
        "subprocess",
        "tempfile",
        "threading",
        "weakref",
    }
)
"""Modules whose own instructions are not to be parted: they take locks that other threads want, and give them back, or
make what somebody must know of to remove it. What they call is another matter."""
WAITING = {
    "subprocess": frozenset({"_communicate", "_try_wait", "_wait"}),
    "threading": frozenset({"_wait_for_tstate_lock", "wait"}),
}
"""Their functions, by module, in which a thread waits, and that put their locks right whatever is raised there: but for
an instruction or two, at which it is not found twice."""
WHOLE = {
    "argparse": frozenset({"parse_known_intermixed_args"}),
    "rich.live": frozenset({"start", "stop"}),
    "sqlalchemy.pool.base": frozenset({"_close_connection"}),
    "subprocess": frozenset({"_execute_child"}),
    "tempfile": frozenset({"_cleanup", "cleanup"}),
}
"""Functions that are not to be parted with all that they call: a terminal would keep its cursor hidden, a child that
nobody knows of would run on, a folder would stay, argparse raises an error of its own, and SQLAlchemy logs what it was
interrupted in with its trace."""


class HandedBack(KeyboardInterrupt):
    """The worker ends in the middle of a build, which another one will carry out."""


class Cancellation(threading.Event):
    """An event that a signal handler may set.

    threading's own has a lock, which its `wait` holds for moments: a handler that runs in one of them, in the very
    thread that waits, would wait for that lock for ever. Here `set` is one assignment, and who waits looks again every
    `LOOK_SECONDS`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._came = False

    def is_set(self) -> bool:
        """Whether it was cancelled."""
        return self._came

    def set(self) -> None:
        """Cancel."""
        self._came = True

    def clear(self) -> None:
        """As if it had never been cancelled."""
        self._came = False

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it was cancelled, within `timeout` seconds where that is given."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._came:
            left = LOOK_SECONDS if end is None else min(LOOK_SECONDS, end - time.monotonic())
            if left <= 0:
                break
            time.sleep(left)
        return self._came


class Interrupting:
    """A handler of signals that does `first` and raises `error`, in the main thread and where nothing breaks by it. Of
    another one it does `second` at once.

    Python's own raises between any two instructions: also behind the one by which a Condition, and with it an Event, a
    Future and a queue, takes its lock, and before the block that gives it back. The other threads want that lock, and
    we wait for them, for ever. An import is not parted either: half of a module stays, and what is raised while a class
    is made comes out of it as something else; nor a `__del__`, of which the interrupt would never come out, nor what
    `exec` and `eval` are given as text, as dataclasses and typer do: Python then ends by the signal, whatever our code.

    Where it cannot be raised the signal is sent again, a moment later.
    """

    def __init__(
        self,
        error: type[KeyboardInterrupt] = KeyboardInterrupt,
        *,
        first: Callable[[], None] = lambda: None,
        second: Callable[[], None] = lambda: None,
    ) -> None:
        self._error = error
        self._first = first
        self._second = second
        self._came = False
        self._sent = False  # the signal that comes next is our own
        self._since: float | None = None  # when one came that was not raised
        self._seen: tuple[CodeType, int] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        sent, self._sent = self._sent, False
        if self._came and not sent:
            self._second()
        self._came = True
        now = time.monotonic()
        self._since = self._since or now
        if frame is not None and now - self._since < PATIENCE and self._must_wait(frame):
            with contextlib.suppress(RuntimeError):  # no thread is to be had
                # One of `threading` is begun with locks, which the frame may have.
                _thread.start_new_thread(self._send, (number, _thread.get_ident()))
                return
        self._raise()

    def settle(self) -> None:
        """Raise what has come and was not raised yet."""
        if self._since is not None:
            self._raise()

    def forget(self) -> None:
        """Raise nothing more of what has come."""
        self._since = self._seen = None

    def _raise(self) -> NoReturn:
        self.forget()
        self._first()
        raise self._error

    def _send(self, number: int, main: int) -> None:
        time.sleep(AGAIN_SECONDS)
        if self._since is not None:
            self._sent = True
            # It must be that thread's: a wait is ended by a signal of its own alone.
            signal.pthread_kill(main, number)

    def _must_wait(self, frame: FrameType) -> bool:
        if _in_one_piece(frame):
            return True
        module, code = frame.f_globals.get("__name__", ""), frame.f_code
        if module not in BETWEEN:
            return False
        before, self._seen = self._seen, (code, frame.f_lasti)
        return code.co_name not in WAITING.get(module, ()) or self._seen != before


def _in_one_piece(frame: FrameType) -> bool:
    """Whether a frame, or one that called it, is to come to its end."""
    outer: FrameType | None = frame
    while outer is not None:
        code = outer.f_code
        if code.co_name == "__del__" or code.co_filename.startswith("<frozen importlib"):
            return True
        if code.co_filename == "<string>" and outer.f_back is not None:  # and not that of `python -c`
            return True
        if code.co_name in WHOLE.get(outer.f_globals.get("__name__", ""), ()):
            return True
        outer = outer.f_back
    return False


@contextlib.contextmanager
def cancelled_by_interrupt(second: Callable[[], None] = lambda: None) -> Iterator[Cancellation]:
    """An event that SIGTERM and Ctrl-C set, besides raising KeyboardInterrupt in this thread as Ctrl-C does. `second`
    is called when another one comes."""
    cancelled = Cancellation()
    handler = Interrupting(first=cancelled.set, second=second)
    with interrupted_by({signal.SIGINT: handler, signal.SIGTERM: handler}):
        yield cancelled


@contextlib.contextmanager
def interrupted_by(handlers: Mapping[signal.Signals, Interrupting]) -> Iterator[None]:
    """Have signals raise in the block what their handlers raise."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
        for handler in handlers.values():
            handler.settle()
    finally:
        for handler in handlers.values():
            handler.forget()
        for number, was in before.items():
            signal.signal(number, was)

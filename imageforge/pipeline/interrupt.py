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
AGAIN_SECONDS, AGAIN_SLOWLY_SECONDS = 0.001, 0.05
"""How long an interrupt waits before it tries again: twice as long each time, up to the second."""
PATIENCE = 5.0
"""Seconds that an interrupt waits at most. Then it is raised wherever it finds us, and parts what is too slow."""
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
    "subprocess": frozenset({"_communicate", "_stdin_write", "_try_wait", "_wait", "communicate"}),
    "threading": frozenset({"_wait_for_tstate_lock", "join", "wait"}),
}
"""Their functions, by module, in which a thread waits, and that put their locks right whatever is raised there: but for
an instruction or two, at which it is not found twice. Threads are joined in the first one before Python 3.13."""
WHOLE = {
    "argparse": frozenset({"parse_known_intermixed_args"}),
    "imageforge.pipeline.interrupt": frozenset({"__call__", "cancelled_by_interrupt", "interrupted_by"}),
    "imageforge.pipeline.uninterrupted": frozenset({"_exchanged", "_put_back"}),
    "rich.live": frozenset({"start", "stop"}),
    "sqlalchemy.pool.base": frozenset({"_close_connection"}),
    "subprocess": frozenset({"_execute_child"}),
    "tempfile": frozenset({"_cleanup", "cleanup"}),
}
"""Functions that are not to be parted with all that they call: a terminal would keep its cursor hidden, a child that
nobody knows of would run on, a folder would stay, argparse raises an error of its own, SQLAlchemy logs what it was
interrupted in with its trace, handlers would not be put back, and one that comes in the handler of another would leave
it for the very place that that one must not be raised in."""
_SENDING = _thread.allocate_lock()
"""Whoever has it may send a signal, or take the handler away that a signal is sent to. No handler asks for it."""


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

    Where it cannot be raised the signal is sent again, a moment later. What comes until then is raised with it.
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
        self._pause = AGAIN_SECONDS
        self._sending = False  # a thread is about to send one
        self._ending = False  # nothing more is raised from here
        self._seen: tuple[CodeType, int] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        sent, self._sent = self._sent, False
        if self._came and not sent:
            self._second()
        self._came = True
        now = time.monotonic()
        self._since = self._since or now
        if self._ending:
            return
        if frame is not None and now - self._since < PATIENCE and self._must_wait(frame):
            with contextlib.suppress(RuntimeError):  # no thread is to be had
                self._later(number)
                return
        self._raise()

    def ending(self) -> None:
        """Raise nothing more, and remember what comes."""
        self._ending = True

    def ended(self) -> bool:
        """Whether one came that was not raised. It is sent no more."""
        came = self._since is not None
        self._forget()
        return came

    def settle(self) -> NoReturn:
        """Raise what came and was not raised."""
        self._raise()

    def _forget(self) -> None:
        self._since = self._seen = None
        self._pause = AGAIN_SECONDS

    def _raise(self) -> NoReturn:
        self._forget()
        self._first()
        raise self._error

    def _later(self, number: int) -> None:
        if self._sending:
            return
        self._sending = True
        pause, self._pause = self._pause, min(2 * self._pause, AGAIN_SLOWLY_SECONDS)
        try:
            # One of `threading` is begun with locks, which the frame may have.
            _thread.start_new_thread(self._send, (number, _thread.get_ident(), pause))
        except RuntimeError:
            self._sending = False
            raise

    def _send(self, number: int, main: int, pause: float) -> None:
        time.sleep(pause)
        with _SENDING:
            self._sending = False
            if self._since is None:
                return
            self._sent = True
            if hasattr(signal, "pthread_kill"):
                # It must be that thread's: a wait is ended by a signal of its own alone.
                signal.pthread_kill(main, number)
            else:  # Windows
                _thread.interrupt_main(signal.Signals(number))

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
        # The text itself, and not a function that was made of one; nor that of `python -c`.
        if (code.co_filename, code.co_name) == ("<string>", "<module>") and outer.f_back is not None:
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
    except BaseException:
        _put_back(before, handlers)
        raise
    for handler in _put_back(before, handlers):
        handler.settle()


def _put_back(
    before: dict[signal.Signals, signal._HANDLER], handlers: Mapping[signal.Signals, Interrupting]
) -> list[Interrupting]:
    """Put handlers back; gives those of ours that have one to raise yet."""
    for handler in handlers.values():
        handler.ending()
    with _SENDING:  # none of ours comes to who does not expect it
        for number in reversed(before):
            signal.signal(number, before[number])
        return [handler for handler in handlers.values() if handler.ended()]

"""Ending a run early: Ctrl-C and SIGTERM cancel it, a worker that stops hands it back."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

LOOK_SECONDS = 0.02


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


@contextlib.contextmanager
def cancelled_by_interrupt() -> Iterator[Cancellation]:
    """An event that SIGTERM and Ctrl-C set, besides raising KeyboardInterrupt in this thread as Ctrl-C does."""
    cancelled = Cancellation()

    def handle(*_: object) -> None:
        cancelled.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

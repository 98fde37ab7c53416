"""Ending a run early: Ctrl-C and SIGTERM cancel it, a worker that stops hands it back."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class HandedBack(KeyboardInterrupt):
    """The worker ends in the middle of a build, which another one will carry out."""


@contextlib.contextmanager
def cancelled_by_interrupt() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set, besides raising KeyboardInterrupt in this thread as Ctrl-C does."""
    cancelled = threading.Event()

    def handle(*_: object) -> None:
        cancelled.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancelled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

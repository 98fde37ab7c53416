"""A block that Ctrl-C and SIGTERM wait for: putting things right must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

WAITING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold the signals back until the block has ended, then let the first one have its effect.

    The handlers are exchanged, and not the thread's signal mask: a signal that the main thread masks is taken by any
    other one, and Python then runs its handler in the main thread all the same. Handlers run nowhere else, so only
    there is this needed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = _exchanged(came)
    try:
        yield
    finally:
        _put_back(before)
        if came:
            signal.raise_signal(came[0])


def _exchanged(came: list[int]) -> dict[signal.Signals, signal._HANDLER]:
    """Have signals noted; gives their handlers. Here and in `_put_back` no interrupt is raised (`interrupt.WHOLE`)."""
    return {number: signal.signal(number, lambda number, _: came.append(number)) for number in WAITING}


def _put_back(before: dict[signal.Signals, signal._HANDLER]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)

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
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in WAITING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])

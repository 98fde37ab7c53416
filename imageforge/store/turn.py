"""Who of this process's threads may ask for a lock that other processes have, too."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Turn:
    """A lock that is waited for so many seconds, and then `late` gives what is raised. Use it as a context manager; the
    thread that has it may take it again.

    It stands in a module of its own, in whose instructions no interrupt is raised (`pipeline.interrupt`): it could come
    between the taking of the lock and the block that gives it back.
    """

    def __init__(self, seconds: float, late: Callable[[], Exception]) -> None:
        self._lock = threading.RLock()
        self._seconds = seconds
        self._late = late

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._seconds):
            raise self._late()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

"""A lock on an open file, which the kernel takes back when a process dies; on a system without them, none."""

from __future__ import annotations

from collections.abc import Callable

_flock: Callable[[int, int], None] | None
try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    _flock = flock
except ImportError:  # Windows, where the client part of imageforge runs too
    _flock = None


def lock(descriptor: int, *, wait: bool) -> bool:
    """Have a file to oneself among all that ask; False where another has it and it is not waited for."""
    if _flock is None:
        return True
    try:
        _flock(descriptor, LOCK_EX if wait else LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True

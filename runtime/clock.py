"""A clock that nobody sets: deadlines outlive a jump of the machine's clock."""

from __future__ import annotations

import time

_START = time.time() - time.monotonic()


def steady() -> float:
    """Unix seconds, as they went on since this process started, whatever became of the machine's clock meanwhile.

    For what is compared with earlier values of its own. What the engine says of a container is by the machine's clock:
    a difference to that must be bounded.
    """
    return _START + time.monotonic()

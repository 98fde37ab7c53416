"""Who may write to the registry: builds together, or a sweep alone. The kernel lets go of it whose process ends."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imageforge.config import Home
from imageforge.errors import Busy

LOOK_SECONDS = 0.1


@contextmanager
def writing_registry(home: Home) -> Iterator[None]:
    """Push, take over or run what was pushed, until it is known whose it is; a sweep is waited for."""
    with (home.locks / "registry.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def sweeping_registry(home: Home, *, patience: float) -> Iterator[None]:
    """Have the registry to oneself. Raises Busy (`registry-busy`) where builds did not end for `patience` seconds."""
    deadline = time.monotonic() + patience
    with (home.locks / "registry.lock").open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Busy(
                        "registry-busy",
                        "the registry",
                        f"builds have been at it for {patience:.0f} s",
                        hint="try again when no build runs",
                        kept="nothing was removed",
                    ) from error
                time.sleep(LOOK_SECONDS)
        yield

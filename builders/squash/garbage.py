"""Trees of a hundred thousand entries without the collector's help."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0
_was_enabled = False


@contextmanager
def collected_later() -> Iterator[None]:
    """Keeps the collector of cycles from going through all that is being made again and again, as it does whenever many
    objects come and few go: a quarter of the time that trees take. They have no cycles. It goes on when the last of
    those inside has left."""
    global _inside, _was_enabled  # noqa: PLW0603 - the collector is the process's own
    with _lock:
        if not _inside:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _was_enabled:
                gc.enable()

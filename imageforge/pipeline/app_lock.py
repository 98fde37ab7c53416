"""One deploy of an app at a time; the lock ends with the process that holds it, however that ends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imageforge.config import Home
from imageforge.errors import Busy
from imageforge.stack.state import exclusive


@contextmanager
def deploying(home: Home, app: str, what: str) -> Iterator[None]:
    """Hold the app. Raises Busy (`app-busy`) naming who holds it."""
    file = home.locks / f"{app}.lock"
    with exclusive(file) as handle:
        if handle is None:
            raise Busy(
                "app-busy",
                app,
                f"{_holder(file.read_text())}; one change of an app at a time",
                hint="wait for it to end, or end it with Ctrl-C where it runs",
                kept="nothing was changed by this command",
            )
        handle.seek(0)
        handle.truncate()
        handle.write(json.dumps({"pid": os.getpid(), "what": what, "since": time.time()}))
        handle.flush()
        yield


def _holder(text: str) -> str:
    try:
        raw = json.loads(text)
        seconds = time.time() - raw["since"]
        return f"{raw['what']} (pid {raw['pid']}) has been at it for {seconds:.0f} s"
    except (ValueError, KeyError, TypeError):
        return "another command is at it"

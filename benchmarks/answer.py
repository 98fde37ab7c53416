"""The first answer of a server that is starting."""

from __future__ import annotations

import contextlib
import http.client
import time


def await_answer(address: str, port: int) -> None:
    """Returns once there is one."""
    while True:
        with (
            contextlib.suppress(OSError),
            contextlib.closing(http.client.HTTPConnection(address, port, timeout=5)) as asked,
        ):
            asked.request("GET", "/")
            asked.getresponse().read()
            return
        time.sleep(0.005)

"""A service for the length of a block, where no supervisor runs it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from imageforge.errors import StackError
from imageforge.stack.ports import holder
from imageforge.stack.service import Service


@contextmanager
def running_for_now(service: Service, *, address: tuple[str, int]) -> Iterator[None]:
    """Run a service until the block has ended. It has no pid file: nobody adopts it.

    Raises StackError (`port-taken`, `service-not-ready`).
    """
    taken = holder(*address)
    if taken:
        raise StackError(
            "port-taken",
            f"{address[0]}:{address[1]}",
            f"the {service.name} needs it, but {taken.has_it}",
            hint="stop that first",
        )
    service.prepare()
    with (
        service.log.open("ab") as output,
        subprocess.Popen(
            service.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env={**os.environ, **service.environ},
            start_new_session=True,
        ) as child,
    ):
        try:
            deadline = time.monotonic() + service.ready_seconds
            while (amiss := service.ready()) is not None:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise StackError("service-not-ready", service.name, amiss, hint=f"its log is {service.log}")
                time.sleep(0.05)
            yield
        finally:
            child.terminate()
            try:
                child.wait(service.stop_seconds)
            except subprocess.TimeoutExpired:
                child.kill()

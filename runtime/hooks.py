"""What a container is given to do at its start and before its end, and the time that leaves for the end."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable

from runtime.container import Execution
from runtime.errors import EngineError
from runtime.manifest.probe import Hook, HttpCall
from runtime.probes import get

SHORTEST_GRACE = 2.0
"""Seconds between the signal and SIGKILL whatever a hook took, as the kubelet has it."""
CALL_TIMEOUT = 30.0
_SHOWN = 200

Execute = Callable[[tuple[str, ...], float | None], Execution]
Where = Callable[[HttpCall], tuple[str, int]]
"""(address, port) of a GET, now."""


def signal_grace(grace: float, spent: float) -> float:
    """Seconds from the signal to SIGKILL: what a hook that took `spent` has left of the grace period, and two at
    least."""
    return max(grace - spent, SHORTEST_GRACE)


def run_hook(hook: Hook, execute: Execute, where: Where, stop: threading.Event, longest: float | None) -> str:
    """Empty when it was done, else why not; given up after `longest` seconds, None for never, or when told to stop. The
    status that a GET answers has no meaning, as in the kubelet. What the command writes is told to nobody but whoever
    reads this."""
    try:
        if hook.sleep is not None:
            stop.wait(hook.sleep if longest is None else min(hook.sleep, longest))
        elif hook.call is not None:
            address, port = where(hook.call)
            get(hook.call, hook.call.host or address, port, CALL_TIMEOUT if longest is None else max(longest, 0.1))
        else:
            done = execute(hook.command, longest)
            if done.code is None:
                return f"`{hook.command[0]}` was not done within {longest:.0f} s"
            if done.code != 0:
                said = " ".join(done.output.split())[:_SHOWN]
                return f"`{hook.command[0]}` ended with exit code {done.code}" + (f": {said}" if said else "")
    except (EngineError, OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    return ""

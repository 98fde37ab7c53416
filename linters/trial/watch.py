"""One container of a trial, from its start to its end: watched until it is up or down, stopped, looked over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from linters.trial.engine import Recipe, TrialEngine
from linters.trial.families import is_settling
from linters.trial.model import Listener, ProcessSeen, Run, Stop
from linters.trial.proc import PROC, family, is_in_container, read_listeners, read_process

LOOK_SECONDS = 0.1
EARLY_SECONDS = 0.2
KILLED = 128 + 9
ASK_SECONDS = 0.5
"""How often the engine is asked, where the container's processes cannot be looked at."""
UNHEEDED_SECONDS = 2.0
"""How long the end is waited for of a first process that neither catches nor blocks the signal: for ever would not do,
since the kernel drops what the first process of a namespace does not handle (pid_namespaces(7))."""


@dataclass(slots=True)
class _Seen:
    """What was seen so far: processes by their pid and start, listeners as they were last."""

    processes: dict[tuple[int, int], ProcessSeen] = field(default_factory=dict)
    listeners: tuple[Listener, ...] = ()

    def take(self, pid: int, at: float, proc: Path) -> None:
        for one in family(pid, proc):
            found = read_process(one, proc)
            if found is None:
                continue
            before = self.processes.get((found.pid, found.started))
            self.processes[found.pid, found.started] = replace(found, first=before.first if before else at, last=at)
        self.listeners = read_listeners(pid, proc)

    def in_order(self) -> tuple[ProcessSeen, ...]:
        return tuple(self.processes[key] for key in sorted(self.processes, key=lambda key: (key[1], key[0])))


def watch(
    engine: TrialEngine,
    recipe: Recipe,
    *,
    ports: tuple[int, ...],
    signal: int,
    deadline: float,
    cancelled: threading.Event,
    stop: bool,
    made: Callable[[str], None],
    proc: Path = PROC,
) -> Run:
    """Runs the container and says what was seen. It counts as up once it has run for `recipe.limits.settle` seconds, no
    process of it has just begun, and one of `ports` is open; or after `patience`. With `stop` it is then told to end,
    and its changes are looked at. `made` is told its ID as soon as there is one; whoever called removes it."""
    container = engine.create(recipe)
    made(container)
    run = Run(read_only=recipe.read_only, capable=recipe.capable)
    refused = engine.start(container)
    if refused:
        return replace(run, refused=refused)
    begun = time.monotonic()
    pid = engine.state(container).pid
    seen = _Seen()
    here = pid > 0 and engine.host.startswith("unix://") and is_in_container(pid, container, proc)
    ended = pid == 0
    lived = 0.0
    while not ended:
        lived = time.monotonic() - begun
        if here:
            seen.take(pid, lived, proc)
        if _is_up(lived, recipe, ports, seen, here) or time.monotonic() >= deadline:
            break
        if cancelled.wait(LOOK_SECONDS if here else ASK_SECONDS):
            break
        ended = read_process(pid, proc) is None if here else not engine.state(container).running
    state = engine.state(container)
    words = engine.last_words(container)
    run = replace(
        run,
        lived=time.monotonic() - begun,
        exit_code=None if state.running else state.exit_code,
        out_of_memory=state.out_of_memory,
        last_words=words,
        seen=here,
        processes=seen.in_order(),
        listeners=seen.listeners,
    )
    if not stop or not state.running or cancelled.is_set():
        return run
    given = _patience(seen, pid, signal, recipe, deadline, here=here)
    took, code = engine.stop(container, given)
    killed = was_killed(code, took, given)
    return replace(
        run,
        changes=engine.changes(container),
        stop=Stop(signal=signal, seconds=took, killed=killed, exit_code=code),
    )


def _is_up(lived: float, recipe: Recipe, ports: tuple[int, ...], seen: _Seen, here: bool) -> bool:
    limits = recipe.limits
    if lived < limits.settle:
        return False
    if lived >= limits.patience or not here:
        return True
    if is_settling(tuple(seen.processes.values())):
        return False
    return not ports or any(one.port in ports for one in seen.listeners)


def was_killed(code: int, took: float, given: float) -> bool:
    """Whether an engine killed what it had told to end: not what ended before it was out of patience, with an exit code
    that looks like it. Engines count whole seconds."""
    return code == KILLED and took >= max(1, round(given)) - EARLY_SECONDS


def _patience(seen: _Seen, pid: int, signal: int, recipe: Recipe, deadline: float, *, here: bool) -> float:
    """How many seconds a container has to end."""
    first = next((one for key, one in seen.processes.items() if key[0] == pid), None)
    heeds = not here or first is None or bool(first.caught & (1 << (signal - 1)))
    return max(1.0, min(recipe.limits.stop if heeds else UNHEEDED_SECONDS, deadline - time.monotonic()))

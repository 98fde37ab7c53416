"""Two commands in turn, several times, and the ratio of each pair: what stays true on a machine whose speed drifts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Medians in seconds of ours and theirs, and the median of ours/theirs pair by pair; `processor` is the same of the
    processor's seconds, where those were measured: what others do beside it changes it little."""

    name: str
    peer: str
    ours: float
    theirs: float
    ratio: float
    rounds: int
    processor: float | None = None


def _nothing() -> None:
    """Nothing has to be made ready."""


def measure(
    name: str,
    peer: str,
    ours: Callable[[], None],
    theirs: Callable[[], None],
    *,
    rounds: int = 5,
    before: Callable[[], None] = _nothing,
) -> Pair:
    """Run both once to warm up, then in turn; `before` each of them what is not measured."""

    def seconds(run: Callable[[], None]) -> float:
        before()
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    for run in (ours, theirs):
        seconds(run)
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return Pair(
        name=name,
        peer=peer,
        ours=statistics.median(pair[0] for pair in pairs),
        theirs=statistics.median(pair[1] for pair in pairs),
        ratio=statistics.median(pair[0] / pair[1] for pair in pairs),
        rounds=rounds,
    )

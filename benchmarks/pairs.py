"""Two commands in turn, several times, and the ratio of each pair: what stays true on a machine whose speed drifts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Medians in seconds of ours and theirs, and the median of ours/theirs pair by pair."""

    name: str
    peer: str
    ours: float
    theirs: float
    ratio: float
    rounds: int


def measure(name: str, peer: str, ours: Callable[[], None], theirs: Callable[[], None], *, rounds: int = 5) -> Pair:
    """Run both once to warm up, then in turn."""
    for run in (ours, theirs):
        run()
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
    return Pair(
        name=name,
        peer=peer,
        ours=statistics.median(pair[0] for pair in pairs),
        theirs=statistics.median(pair[1] for pair in pairs),
        ratio=statistics.median(pair[0] / pair[1] for pair in pairs),
        rounds=rounds,
    )


def _seconds(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began

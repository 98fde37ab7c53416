"""Whose turn it is: which of the waiting notices are begun now; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from imageforge.store import Waiting

AT_ONCE = 32
"""Attempts at a time; one that hangs is a thread that sleeps."""
AT_ONCE_OF_AN_APP = 4
"""Of these, how many an app may have: one with many receivers that hang leaves the others their turns."""

Target = tuple[str, str]
"""An app, and the name of one of its targets."""


def choose(waiting: Sequence[Waiting], busy: Collection[Target]) -> tuple[int, ...]:
    """The numbers of the notices to begin, of those that wait, at most one a target. `busy` are the targets that are
    being told something: one after the other, so that one that hangs does it once. The app with the fewest comes
    first, then the oldest."""
    told = set(busy)
    apps = Counter(app for app, _ in told)
    left = [item for item in waiting if (item.app, item.target) not in told]
    chosen: list[int] = []
    while len(told) < AT_ONCE:
        free = [item for item in left if apps[item.app] < AT_ONCE_OF_AN_APP]
        if not free:
            break
        turn = min(free, key=lambda item: (apps[item.app], item.id))
        chosen.append(turn.id)
        told.add((turn.app, turn.target))
        apps[turn.app] += 1
        left = [item for item in left if (item.app, item.target) not in told]
    return tuple(chosen)

"""A Deployment that is scaled in the middle of a rollout: what each of its revisions gets of it.

After the Deployment controller's proportional scaling (kubernetes/pkg/controller/deployment/sync.go, `scale`, and
util/deployment_util.go, `GetReplicaSetProportion`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """`replicas` as asked for, and the `most` that a rollout may have of all revisions together."""

    replicas: int
    most: int


def proportional(sizes: Sequence[int], before: Size, after: Size) -> list[int]:
    """The new size of each revision. `sizes` are those of the revisions that have replicas, the newest first; they were
    scaled for `before`. What rounding leaves over goes to the largest, or is taken from it."""
    to_add = after.most - sum(sizes)
    if to_add == 0 or not sizes:
        return list(sizes)
    # The largest first; of equal ones the newest where there is something to add, the oldest where something goes.
    order = sorted(range(len(sizes)), key=lambda at: (-sizes[at], at if to_add > 0 else -at))
    new, added = list(sizes), 0
    for at in order:
        share = _share(sizes[at], before, after)
        left = to_add - added
        share = min(share, left) if to_add > 0 else max(share, left)
        new[at] += share
        added += share
    new[order[0]] = max(0, new[order[0]] + to_add - added)
    return new


def _share(size: int, before: Size, after: Size) -> int:
    if after.replicas == 0:
        return -size
    # To the nearest whole, a half away from zero; with integers, for a float would round some halves down.
    most = before.most or after.most
    return (2 * size * after.most + most) // (2 * most) - size

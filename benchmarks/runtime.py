"""The runtime as its users see it: files of Kubernetes on a stack of its own."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.balancing import balancing_figures
from benchmarks.figure import Figure
from benchmarks.fleet import Fleet, fleet
from benchmarks.pairs import Pair
from benchmarks.rest import rest_figures
from benchmarks.rollouts import rollout_figures

PARTS: dict[str, Callable[[Fleet], tuple[list[Figure], list[Pair]]]] = {
    "rollouts": rollout_figures,
    "balancing": lambda made: (balancing_figures(made), []),
    "rest": lambda made: (rest_figures(made), []),
}


def runtime_figures(names: set[str]) -> tuple[list[Figure], list[Pair]]:
    """The parts that are named, on a stack that is made and removed."""
    figures: list[Figure] = []
    pairs: list[Pair] = []
    with fleet() as made:
        for name, part in PARTS.items():
            if name in names:
                found, more = part(made)
                figures += found
                pairs += more
    return figures, pairs

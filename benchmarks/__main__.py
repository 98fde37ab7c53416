"""All benchmarks, or those that are named: ``python -m benchmarks [lint] [squash] [images] [service]
[rollouts] [balancing] [rest]``.

Run by `make bench`, which has an engine ready.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tabulate import tabulate

from benchmarks.figure import Figure
from benchmarks.images import images_figures
from benchmarks.lint import lint_figures
from benchmarks.pairs import Pair
from benchmarks.runtime import PARTS, runtime_figures
from benchmarks.service import service_figures
from benchmarks.squash import squash_pairs


def main(names: Sequence[str]) -> int:
    """Print tables: pairs with their ratios, and figures of our own."""
    wanted = set(names) or {"lint", "squash", "images", "service", *PARTS}
    pairs: list[Pair] = []
    figures: list[Figure] = []
    if "lint" in wanted:
        found, more = lint_figures()
        figures += found
        pairs += more
    if "squash" in wanted:
        pairs += squash_pairs()
    if "images" in wanted:
        found, more = images_figures()
        figures += found
        pairs += more
    if "service" in wanted:
        found, more = service_figures()
        figures += found
        pairs += more
    if wanted & set(PARTS):
        found, more = runtime_figures(wanted)
        figures += found
        pairs += more
    if pairs:
        rows = [
            (
                p.name,
                p.peer,
                f"{p.ours:.2f} s",
                f"{p.theirs:.2f} s",
                f"{p.ratio:.2f}",
                f"{p.processor:.2f}" if p.processor is not None else "",
                p.rounds,
            )
            for p in pairs
        ]
        heads = ("ours", "theirs", "ours, median", "theirs, median", "ratio, median", "of processor", "rounds")
        sys.stdout.write(tabulate(rows, headers=heads) + "\n\n")
    if figures:
        sys.stdout.write(tabulate([(f.name, f.value, f.of) for f in figures], headers=("what", "figure", "of")) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The console script. `lint` is run from editors and before each commit, and is over before all commands were
loaded: it has a parser of its own, and goes by their tree here."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from imageforge.cli.ending import ended
from imageforge.cli.verbosity import BEFORE, VERBOSITY

YOUNG = 50_000
"""Objects that are made, beyond those that are gone again, before the collector of cycles looks at the newest."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line; gives its exit code."""
    given = list(arguments)
    at = next((at for at, word in enumerate(given) if word not in BEFORE), len(given))
    if given[at : at + 1] == ["lint"]:
        said = {BEFORE[word] for word in given[:at]}
        return ended(lambda: _lint(given[at + 1 :], said))
    return ended(lambda: _any(given))


def main() -> None:
    """The entry point."""
    # A command loads modules, does its work and is gone. The collector would go through all of it a hundred times
    # meanwhile, and twice more at the end, for cycles whose memory goes back to the system anyway.
    gc.set_threshold(YOUNG, 20, 20)
    try:
        code = run(sys.argv[1:])
    finally:
        gc.disable()
        gc.freeze()
    sys.exit(code)


def _lint(arguments: Sequence[str], said: set[str]) -> int:
    from imageforge.cli.lint import lint  # noqa: PLC0415

    VERBOSITY.quiet, VERBOSITY.verbose, VERBOSITY.no_input = (name in said for name in ("quiet", "verbose", "no_input"))
    return lint(arguments)


def _any(arguments: Sequence[str]) -> int:
    from imageforge.cli.tree import run_tree  # noqa: PLC0415

    return run_tree(arguments)

"""The console script. `lint` is run from editors and before each commit, and is over before all commands were
loaded: it has a parser of its own, and goes by their tree here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from imageforge.cli.ending import ended
from imageforge.cli.verbosity import BEFORE, VERBOSITY


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
    sys.exit(run(sys.argv[1:]))


def _lint(arguments: Sequence[str], said: set[str]) -> int:
    from imageforge.cli.lint import lint  # noqa: PLC0415

    VERBOSITY.quiet, VERBOSITY.verbose, VERBOSITY.no_input = (name in said for name in ("quiet", "verbose", "no_input"))
    return lint(arguments)


def _any(arguments: Sequence[str]) -> int:
    from imageforge.cli.tree import run_tree  # noqa: PLC0415

    return run_tree(arguments)

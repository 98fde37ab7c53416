"""Where the program starts. `lint` is run from editors and before each commit, and is over before the tree of all
commands and what they need were loaded; so it has a parser of its own, and goes by it from here."""

from __future__ import annotations

import sys

from imageforge.cli.ending import ended


def main() -> None:
    """The entry point."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["lint"]:
        from imageforge.cli.lint import lint  # noqa: PLC0415

        sys.exit(ended(lambda: lint(arguments[1:])))
    from imageforge.cli.main import run  # noqa: PLC0415

    sys.exit(run(arguments))

"""The progress of a run as this command line was told to show it."""

from __future__ import annotations

from imageforge.cli.verbosity import VERBOSITY
from imageforge.report.progress import Progress


def progress(*, everything: bool = False) -> Progress:
    """A printer of events on stderr; --verbose shows every line, --quiet none."""
    verbose = VERBOSITY.verbose
    return Progress(everything=everything or verbose, lines=everything or verbose, quiet=VERBOSITY.quiet)

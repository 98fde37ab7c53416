"""The progress of a run as this command line was told to show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageforge.cli.verbosity import VERBOSITY

if TYPE_CHECKING:
    from imageforge.report.progress import Progress


def progress(*, everything: bool = False) -> Progress:
    """A printer of events on stderr; --verbose shows every line, --quiet none."""
    # It brings rich along, which commands that may show progress have no use for where there is none.
    from imageforge.report.progress import Progress  # noqa: PLC0415

    verbose = VERBOSITY.verbose
    return Progress(everything=everything or verbose, lines=everything or verbose, quiet=VERBOSITY.quiet)

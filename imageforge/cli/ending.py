"""How a command ends: the one place where errors become words and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from imageforge.cli.failure import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, ParserComplaint, exit_code, render_usage
from imageforge.cli.verbosity import VERBOSITY
from imageforge.errors import Failure
from imageforge.report.failure import render


def ended(command: Callable[[], int]) -> int:
    """Run a command; gives its exit code. Nothing but a bug of ours leaves a stack trace without --verbose."""
    try:
        return command()
    except KeyboardInterrupt:
        return interrupted()
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough; what Python flushes at exit must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report(error)


def interrupted() -> int:
    """Say that the user stopped it."""
    sys.stderr.write("interrupted\n")
    return EXIT_INTERRUPTED


def _report(error: Exception) -> int:
    if isinstance(error, ParserComplaint):
        sys.stderr.write(f"{render_usage(error)}\n")
        return EXIT_USAGE
    if VERBOSITY.verbose:
        import traceback  # noqa: PLC0415 - of use to few

        traceback.print_exc()
    if isinstance(error, Failure):
        sys.stderr.write(f"{render(error)}\n")
        return exit_code(error)
    sys.stderr.write(
        f"error[internal]: imageforge: {type(error).__name__}: {error}\n"
        "  hint: this is a bug of imageforge; run again with --verbose and report what it prints\n"
    )
    return EXIT_FAILED

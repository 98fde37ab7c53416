"""The console script. `lint` is run from editors and before each commit, and is over before all commands were
loaded: it has a parser of its own, and goes by their tree here."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

EXIT_INTERRUPTED = 130  # as cli.failure has it, which is not loaded yet when a command begins
YOUNG = 50_000
"""Objects that are made, beyond those that are gone again, before the collector of cycles looks at the newest."""


def main() -> None:
    """The entry point. Before the command has begun Ctrl-C ends us at once, and leaves no trace of the import that it
    came in. So it does once the command has ended and its output is written: a command puts right what it must itself,
    and leaves nothing to what Python does at its exit."""
    taken = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # and not ignored, as by nohup
    if taken:
        signal.signal(signal.SIGINT, _leave)
    # A command loads modules, does its work and is gone. The collector would go through all of it a hundred times
    # meanwhile, and twice more at the end, for cycles whose memory goes back to the system anyway.
    gc.set_threshold(YOUNG, 20, 20)
    try:
        code = _interruptible(sys.argv[1:]) if taken else run(sys.argv[1:])
    finally:
        gc.disable()
        gc.freeze()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; gives its exit code."""
    from imageforge.cli.ending import ended  # noqa: PLC0415 - `main` is there before it
    from imageforge.cli.verbosity import BEFORE  # noqa: PLC0415

    given = list(arguments)
    at = next((at for at, word in enumerate(given) if word not in BEFORE), len(given))
    if given[at : at + 1] == ["lint"]:
        said = {BEFORE[word] for word in given[:at]}
        return ended(lambda: _lint(given[at + 1 :], said))
    return ended(lambda: _any(given))


def _interruptible(arguments: Sequence[str]) -> int:
    """Run a command line that Ctrl-C raises KeyboardInterrupt in."""
    from imageforge.pipeline.interrupt import Interrupting, interrupted_by  # noqa: PLC0415

    try:
        with interrupted_by({signal.SIGINT: Interrupting()}):
            code = run(arguments)
            if sys.stdout is not None:
                with contextlib.suppress(OSError, ValueError):  # Python tries again at its exit, and says what is wrong
                    sys.stdout.flush()
            return code
    except KeyboardInterrupt:  # it came as the command ended
        _say()
        return EXIT_INTERRUPTED


def _leave(*_: object) -> NoReturn:
    _say()
    os._exit(EXIT_INTERRUPTED)


def _say() -> None:
    with contextlib.suppress(OSError):  # closed, as by `2>&-`
        os.write(2, b"interrupted\n")


def _lint(arguments: Sequence[str], said: set[str]) -> int:
    from imageforge.cli.lint import lint  # noqa: PLC0415
    from imageforge.cli.verbosity import VERBOSITY  # noqa: PLC0415

    VERBOSITY.quiet, VERBOSITY.verbose, VERBOSITY.no_input = (name in said for name in ("quiet", "verbose", "no_input"))
    return lint(arguments)


def _any(arguments: Sequence[str]) -> int:
    from imageforge.cli.tree import run_tree  # noqa: PLC0415

    return run_tree(arguments)

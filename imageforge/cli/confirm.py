"""Asking before something is taken away."""

from __future__ import annotations

import sys

from imageforge.cli.verbosity import VERBOSITY
from imageforge.errors import UsageError


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere --yes must say it. The question is what is to be done, such as `delete shop`: its
    mark is put here. Raises UsageError (`not-confirmed`)."""
    if yes:
        return
    if VERBOSITY.no_input or not sys.stdin.isatty():
        raise UsageError(
            "not-confirmed", question, "it must be confirmed", hint="pass --yes", kept="nothing was changed"
        )
    sys.stderr.write(f"{question}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("not-confirmed", question, "you said no", kept="nothing was changed")

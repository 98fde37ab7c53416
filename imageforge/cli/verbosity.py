"""How much the command line says; set once, by the options before the command."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Verbosity:
    """--quiet, --verbose and --no-input."""

    quiet: bool = False
    verbose: bool = False
    no_input: bool = False


VERBOSITY = Verbosity()
BEFORE = {"-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose", "--no-input": "no_input"}
"""Options of all commands, which stand before the command."""

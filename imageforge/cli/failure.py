"""How an error is shown, and the exit code it becomes. The only place that renders errors on a terminal."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from imageforge.errors import Failure

EXIT_FAILED = 1
EXIT_CODES = {"failed": EXIT_FAILED, "refused": 2, "usage": 3, "environment": 4}
EXIT_USAGE = 3
EXIT_INTERRUPTED = 130


_DOCKERS = {"command-not-begun": 125, "command-not-executable": 126, "command-not-found": 127}
"""Of a command in a container that could not be started, for scripts that know `docker exec`."""


def exit_code(failure: Failure) -> int:
    """The exit code of an error's kind."""
    if failure.code in _DOCKERS:
        return _DOCKERS[failure.code]
    return EXIT_CODES.get(failure.kind, EXIT_FAILED)


@runtime_checkable
class ParserComplaint(Protocol):
    """What the argument parser raises. By its shape, because typer carries a copy of click from some version on."""

    exit_code: int

    def format_message(self) -> str:
        """What is wrong, in words."""
        ...


def render_usage(error: ParserComplaint) -> str:
    """The argument parser's own complaint in our form; a command that was given nothing gets its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.format_message()
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "imageforge"
    # Newer parsers put a word of Python's before what is wrong with a value.
    message = error.format_message().replace(": Value error, ", ": ")
    return f"error[usage]: {command}: {message}\n  hint: {command} --help"

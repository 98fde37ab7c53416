"""The console script: the tree of commands, and the one place where errors become words and exit codes."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from imageforge import __version__
from imageforge.cli.failure import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    ParserComplaint,
    exit_code,
    render_usage,
)
from imageforge.cli.later import Later, absent
from imageforge.cli.verbosity import VERBOSITY
from imageforge.errors import Failure
from imageforge.report.failure import render

OPTIONS: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}
COMMANDS = (
    "up", "down", "status", "doctor", "backup", "restore", "login", "lint", "rules", "trial", "build", "deploy", "ps",
    "logs", "exec", "run", "scale", "restart", "releases", "report", "rollback", "manifest", "apply", "diff", "delete",
    "get", "describe", "expose", "events", "handoff", "top",
    "squash",
)  # fmt: skip
GROUPS = (
    "apps",
    "builds",
    "env",
    "secret",
    "domains",
    "webhook",
    "remote",
    "token",
    "context",
    "base",
    "image",
    "rollout",
)
NEEDS_LINUX = frozenset(
    (
        "up", "down", "status", "doctor", "backup", "restore", "ps", "logs", "exec", "run", "scale", "restart",
        "manifest", "apps", "base", "image", "handoff", "squash", "top", "trial",
    )
)  # fmt: skip
"""What works on this machine's own stack; a client on another system lacks the modules that it is made of."""


def _load(name: str) -> Any:
    """A command's module. Where the system cannot have it, the command says so when it is called."""
    try:
        return importlib.import_module(f"imageforge.cli.{name}")
    except (ImportError, AttributeError):
        if name not in NEEDS_LINUX:
            raise
        return None


def _made(name: str) -> Any:
    """A command or a group of them. One that talks to a server needs no database, and all of them together take a
    second to load."""
    module, around = _load(name), typer.Typer(**OPTIONS)
    if module is None:
        around.command(name)(absent(name))
    elif name in GROUPS:
        around.add_typer(module.app, name=name)
    else:
        around.command(name)(getattr(module, name))
    return get_group(around).commands[name]


class _Tree(TyperGroup):
    """The group of all commands, in the order in which they are listed above."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Later({name: partial(_made, name) for name in (*COMMANDS, *GROUPS)})


app = typer.Typer(
    name="imageforge",
    cls=_Tree,
    help="A push becomes a running, load-balanced application on a machine you own.",
    no_args_is_help=True,
    **OPTIONS,
)


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"imageforge {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only data and errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every line, and stack traces of errors.")
    ] = False,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask: what needs an answer fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options before the command."""
    del version
    VERBOSITY.quiet, VERBOSITY.verbose, VERBOSITY.no_input = quiet, verbose, no_input
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # The SDK's own chatter names every request; it helps nobody but its developers.
    for chatty in ("urllib3", "docker", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; gives its exit code. Nothing but a bug of ours leaves a stack trace without --verbose."""
    try:
        outcome = app(list(arguments), prog_name="imageforge", standalone_mode=False)
    except typer.Exit as done:
        return done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has seen enough; what Python flushes at exit must go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _report(error)
    return outcome if isinstance(outcome, int) else 0


def _report(error: Exception) -> int:
    if isinstance(error, ParserComplaint):
        sys.stderr.write(f"{render_usage(error)}\n")
        return EXIT_USAGE
    if VERBOSITY.verbose:
        traceback.print_exc()
    if isinstance(error, Failure):
        sys.stderr.write(f"{render(error)}\n")
        return exit_code(error)
    sys.stderr.write(
        f"error[internal]: imageforge: {type(error).__name__}: {error}\n"
        "  hint: this is a bug of imageforge; run again with --verbose and report what it prints\n"
    )
    return EXIT_FAILED


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))

"""The tree of commands. Each is loaded when it is called; what the list of them says is read from their files."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from imageforge import __version__
from imageforge.cli.ending import interrupted
from imageforge.cli.failure import ParserComplaint
from imageforge.cli.later import Later, absent
from imageforge.cli.verbosity import BEFORE, VERBOSITY
from imageforge.errors import UsageError

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
OWN_PARSER = frozenset({"lint"})
PASSED_ON = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}
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
    elif name in OWN_PARSER:
        around.command(name, help=short_help(name), context_settings=PASSED_ON)(_passed_on(getattr(module, name)))
    elif name in GROUPS:
        around.add_typer(module.app, name=name)
    else:
        around.command(name)(getattr(module, name))
    return get_group(around).commands[name]


def _passed_on(command: Callable[[Sequence[str]], int]) -> Callable[[typer.Context], None]:
    """A command that reads its arguments itself, behind the options of all commands."""

    def run(context: typer.Context) -> None:
        raise typer.Exit(command(context.args))

    # typer looks at the types themselves.
    run.__annotations__ = {"context": typer.Context}
    return run


class _Tree(TyperGroup):
    """The group of all commands, in the order in which they are listed above."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Later({name: partial(_made, name) for name in (*COMMANDS, *GROUPS)})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of all commands, none of which is loaded for it."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help(name)) for name in self.commands])


def short_help(name: str) -> str:
    """What the list says of a command: the first sentence of its function's docstring, or of its group's help."""
    text = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    if name in GROUPS:
        found = re.search(r'^app = typer\.Typer\((?:[^"\n]|\n)*?help=(?:"")?"([^"]*)"', text, re.MULTILINE)
    else:
        found = re.search(rf'^def {name}\((?:.|\n)*?\n\) -> \w+:\n    """([^"]*)"""', text, re.MULTILINE)
        found = found or re.search(rf'^def {name}\(.*\) -> \w+:\n    """([^"]*)"""', text, re.MULTILINE)
    if found is None:
        return str(_made(name).get_short_help_str(limit=200))
    return re.split(r"(?<=\.)\s|\n\n", found.group(1), maxsplit=1)[0].strip()


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


def run_tree(arguments: Sequence[str]) -> int:
    """Run a command line; gives its exit code."""
    try:
        outcome = app(list(arguments), prog_name="imageforge", standalone_mode=False)
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        return interrupted()
    except Exception as error:
        if isinstance(error, ParserComplaint) and getattr(error, "ctx", None) is None:
            # What is wrong with an option's value is told without the command that it was given to.
            command = called(arguments)
            raise UsageError("usage", command, error.format_message(), hint=f"{command} --help") from error
        raise
    return outcome if isinstance(outcome, int) else 0


def called(arguments: Sequence[str]) -> str:
    """The command that a command line calls, such as ``imageforge image rm``. No option before it has a value."""
    words = list(dropwhile(BEFORE.__contains__, arguments))
    length = 2 if words[:1] and words[0] in GROUPS else 1
    return " ".join(["imageforge", *takewhile(lambda word: not word.startswith("-"), words[:length])])

"""The help of `lint` as that of the other commands looks. They have it from typer, which is made of what lint's own
parser has, and loaded for this alone."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

OPTIONS: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}


def page(parser: argparse.ArgumentParser, actions: Iterable[argparse.Action]) -> str:
    """The text, for a terminal of this width."""

    def command(**_: object) -> None:
        """It is not called."""

    wanted = [action for action in actions if action.dest != "help"]
    command.__annotations__ = {action.dest: _type(action) for action in wanted}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                action.dest,
                inspect.Parameter.KEYWORD_ONLY,
                default=_parameter(action),
                annotation=command.__annotations__[action.dest],
            )
            for action in wanted
        ]
    )
    made = typer.Typer(**OPTIONS)
    made.command(help=parser.description)(command)
    found = get_command(made)
    return str(found.get_help(found.make_context(parser.prog, [], resilient_parsing=True)))


def _type(action: argparse.Action) -> Any:
    """What typer reads such a value as, and shows as its kind."""
    if action.nargs == 0:
        return bool
    if action.choices:
        return type(next(iter(action.choices)))
    kind = Path if action.type is Path else str
    many = action.nargs == "*" or isinstance(action.default, list)
    return list[kind] if many else kind  # type: ignore[valid-type]


def _parameter(action: argparse.Action) -> Any:
    if not action.option_strings:
        return typer.Argument(None, metavar=_metavar(action), help=action.help)
    names = sorted(action.option_strings, key=len)
    return typer.Option(action.default or None, *names, metavar=_metavar(action), help=action.help)


def _metavar(action: argparse.Action) -> str | None:
    return action.metavar if isinstance(action.metavar, str) else None

"""imageforge env: an app's environment variables."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from imageforge.cli.backend import backend
from imageforge.cli.follow import follow
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Environment variables of an app. A change makes a release.")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@app.command("ls")
def list_variables(name: Annotated[str, typer.Argument(metavar="APP")], form: FormatOption = Format.TABLE) -> None:
    """List what was set."""
    with backend() as there:
        rows = [{"name": key, "value": value} for key, value in there.environment(name).items()]
    show(rows, columns=("name", "value"), form=form, empty=f"nothing is set for {name}")


@app.command("set")
def set_variables(
    name: Annotated[str, typer.Argument(metavar="APP")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE…]", help="Without any: lines of stdin.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Set variables. The running replicas are replaced by ones that have them."""
    lines = values if values else [line.rstrip("\n") for line in sys.stdin if line.strip() and not line.startswith("#")]
    pairs: dict[str, str | None] = {}
    for line in lines:
        key, separator, value = line.partition("=")
        if not separator or not NAME.fullmatch(key):
            raise UsageError(
                "invalid-variable", key, "expected NAME=VALUE", hint="imageforge env set APP GREETING=hello"
            )
        pairs[key] = value
    _change(name, pairs, form)


@app.command("unset")
def unset_variables(
    name: Annotated[str, typer.Argument(metavar="APP")],
    names: Annotated[list[str], typer.Argument(metavar="NAME…")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Take variables away. The running replicas are replaced by ones without them."""
    _change(name, dict.fromkeys(names), form)


def _change(name: str, values: dict[str, str | None], form: Format) -> None:
    with backend() as there:
        build = there.set_environment(name, values)
        if build is None:
            say(f"{name} is not running; it starts with them")
        else:
            follow(build, there.events(build), form)

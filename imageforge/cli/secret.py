"""imageforge secret: values that builds need and images must not hold."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from imageforge.cli.backend import backend
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.errors import UsageError
from imageforge.report.units import age

app = typer.Typer(no_args_is_help=True, help="Secrets of an app, for its builds.")
AppArgument = Annotated[str, typer.Argument(metavar="APP")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The id under which RUN steps mount it.")]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


@app.command("ls")
def list_secrets(name: AppArgument, form: FormatOption = Format.TABLE) -> None:
    """List names, and when they were set; values are never shown."""
    now = time.time()
    with backend() as there:
        rows = [
            {"name": row["name"], "purpose": row["purpose"], "age": age(now - float(row["updated_at"]))}
            for row in there.secrets(name)
        ]
    show(rows, columns=("name", "purpose", "age"), form=form, empty=f"{name} has no secrets")


@app.command("set")
def set_secret(
    name: AppArgument,
    secret: NameArgument,
    file: Annotated[Path | None, typer.Option("--file", help="Where the value is; else standard input.")] = None,
) -> None:
    """Set a secret from standard input or a file, never from an argument, which every user of the machine can read.

    `RUN --mount=type=secret,id=NAME` has it as /run/secrets/NAME for the length of that step. It is hidden in logs, and
    an image that holds it is not pushed.
    """
    if not NAME.fullmatch(secret):
        raise UsageError(
            "invalid-secret-name", secret[:40], "expected letters, digits, _ . -", hint="such as NPM_TOKEN"
        )
    try:
        value = file.read_text() if file else _read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("secret-unreadable", str(file or "standard input"), str(error), hint="a UTF-8 text") from error
    if not value:
        raise UsageError("secret-empty", secret, "no value was given", hint="printf %s VALUE | imageforge secret set …")
    with backend() as there:
        there.set_secret(name, secret, value)
    say(f"{secret} is set for builds of {name}")


@app.command("rm")
def remove_secret(name: AppArgument, secret: NameArgument) -> None:
    """Forget a secret."""
    with backend() as there:
        there.remove_secret(name, secret)
    say(f"{secret} removed")


def _read() -> str:
    if sys.stdin.isatty():
        import getpass  # noqa: PLC0415 - needs a terminal's modules, which not every system has

        return getpass.getpass("value: ")
    return sys.stdin.read().rstrip("\n")

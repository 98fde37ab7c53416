"""imageforge secret: values that builds and containers need, and nothing else may hold."""

from __future__ import annotations

import re
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from imageforge.cli.backend import backend
from imageforge.cli.follow import follow
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.errors import UsageError
from imageforge.report.units import age

app = typer.Typer(no_args_is_help=True, help="Secrets of an app, for its builds and its containers.")
AppArgument = Annotated[str, typer.Argument(metavar="APP")]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
FOLDER = "/run/secrets"


class For(StrEnum):
    """Whom a secret is for."""

    BUILD = "build"
    RUN = "run"
    REGISTRY = "registry"


@app.command("ls")
def list_secrets(name: AppArgument, form: FormatOption = Format.TABLE) -> None:
    """List names, whom they are for, and when they were set. Values are never shown."""
    now = time.time()
    with backend() as there:
        rows = [
            {
                "name": row["name"],
                "purpose": row["purpose"],
                "file": f"{FOLDER}/{row['path']}" if row["path"] else None,
                "age": age(now - float(row["updated_at"])),
            }
            for row in there.secrets(name)
        ]
    show(rows, columns=("name", "purpose", "file", "age"), form=form, empty=f"{name} has no secrets")


@app.command("set")
def set_secret(
    name: AppArgument,
    secret: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Without it: lines NAME=VALUE, set together.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Where the value is; else standard input.")] = None,
    purpose: Annotated[
        For | None,
        typer.Option("--for", help="Builds, if it is left out; containers (run); or pulling base images (registry)."),
    ] = None,
    as_file: Annotated[
        str | None,
        typer.Option("--as-file", metavar="PATH", help=f"Containers have it as {FOLDER}/PATH, and not as a variable."),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Set secrets from standard input or a file. An argument could be read by every user of the machine.

    For builds: `RUN --mount=type=secret,id=NAME` has it as /run/secrets/NAME for the length of that step. For running:
    the containers have it as the environment variable NAME, or with --as-file as a file, and the running replicas are
    replaced by ones that have it. It is hidden in logs, and an image that holds it is not pushed.

    For a registry: NAME is its host, such as ghcr.io, and the value USER:PASSWORD, with which the builds of this app
    pull their base images.
    """
    if as_file is not None and secret is None:
        raise UsageError("secret-name-missing", name, "--as-file is the place of one secret", hint="name it: APP NAME")
    whom = purpose or (For.RUN if as_file is not None else For.BUILD)
    text = _read(file, exactly=as_file is not None or (file is not None and whom is For.BUILD and secret is not None))
    if whom is For.REGISTRY and secret is None:
        raise UsageError("secret-name-missing", name, "a login is of one registry", hint="name its host: APP HOST")
    values = {secret: text} if secret is not None else _lines(text)
    for key, value in values.items():
        # The host of a registry is judged where it is stored.
        if whom is not For.REGISTRY and not NAME.fullmatch(key):
            raise UsageError(
                "invalid-secret-name",
                key.partition("=")[0][:40],
                "expected letters, digits, _ . -",
                hint="the value comes from standard input: printf %s VALUE | imageforge secret set APP NAME",
            )
        if not value:
            raise UsageError(
                "secret-empty", key, "no value was given", hint=f"printf %s VALUE | imageforge secret set {name} {key}"
            )
    rows = {key: {"value": value, "path": as_file} for key, value in values.items()}
    with backend() as there:
        build = there.set_secrets(name, whom.value, rows)
        named = ", ".join(values)
        if build is not None:
            follow(build, there.events(build), form)
        elif whom is For.RUN:
            say(f"{named} set; {name} is not running, and starts with what is set")
        elif whom is For.REGISTRY:
            say(f"{named} set: builds of {name} pull from it with that")
        else:
            say(f"{named} set for builds of {name}; its containers get what is set with --for run")


@app.command("rm")
def remove_secret(
    name: AppArgument,
    secret: Annotated[str, typer.Argument(metavar="NAME")],
    purpose: Annotated[For | None, typer.Option("--for", help="Needed where there is one of each.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Forget a secret. Of a running app, the replicas are replaced by ones without it."""
    with backend() as there:
        build = there.remove_secret(name, secret, purpose.value if purpose else None)
        say(f"{secret} removed")
        if build is not None:
            follow(build, there.events(build), form)


def _lines(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or not NAME.fullmatch(key):
            # The line is not shown: it may be the value alone.
            raise UsageError(
                "invalid-secret-line",
                f"line {number}",
                "expected NAME=VALUE",
                hint="a single value: secret set APP NAME",
            )
        if key in values:
            raise UsageError("secret-twice", key, f"it is on line {number} again", hint="keep one of the lines")
        values[key] = value
    if not values:
        raise UsageError("no-secret-given", "standard input", "no line NAME=VALUE", hint="secret set APP NAME")
    return values


def _read(file: Path | None, *, exactly: bool) -> str:
    """The text of the file or of standard input; but for `exactly`, without the line ends at its end."""
    try:
        if file is not None:
            text = file.read_bytes().decode()
        elif sys.stdin.isatty():
            import getpass  # noqa: PLC0415 - needs a terminal's modules, which not every system has

            return getpass.getpass("value: ")
        else:
            text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        # Without the cause, whose text quotes bytes of it.
        raise UsageError(
            "secret-unreadable", str(file or "standard input"), "it is not UTF-8", hint="encode it, as with base64"
        ) from None
    except OSError as error:
        raise UsageError("secret-unreadable", str(file or "standard input"), str(error), hint="a UTF-8 text") from error
    return text if exactly else text.rstrip("\r\n")

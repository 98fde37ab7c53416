"""imageforge token: who may use the API and the git remote."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

import typer

from imageforge.cli.backend import backend
from imageforge.cli.output import Format, FormatOption, document, say, show, write
from imageforge.report.units import age

app = typer.Typer(no_args_is_help=True, help="Tokens for the API and the git remote.")


class ScopeName(StrEnum):
    """The values of --scope."""

    BUILD = "build"
    DEPLOY = "deploy"
    ADMIN = "admin"


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for, in words.")],
    scope: Annotated[ScopeName, typer.Option("--scope", help="What it allows; each includes those before it.")] = (
        ScopeName.DEPLOY
    ),
    for_app: Annotated[str | None, typer.Option("--app", help="For this app only.")] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3650, help="Days until it expires; never, if left out.")
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make a token and print it, this once."""
    with backend() as there:
        made = there.create_token(name, scope.value, for_app, days)
    if form in (Format.JSON, Format.YAML):
        document(dict(made), form)
        return
    write(str(made["token"]))
    say("keep it: it cannot be shown again")


@app.command("ls")
def list_tokens(form: FormatOption = Format.TABLE) -> None:
    """List the tokens, without their secrets."""
    now = time.time()
    with backend() as there:
        found = there.tokens()
    rows = [
        {
            **row,
            "state": _state(row["revoked_at"], row["expires_at"], now),
            "age": age(now - float(row["created_at"])),
            "used": f"{age(now - float(row['last_used_at']))} ago" if row["last_used_at"] else None,
            "app": row["app"] or "all",
        }
        for row in found
    ]
    for row in rows:
        del row["token"]
    show(rows, columns=("id", "name", "scope", "app", "state", "age", "used"), form=form, empty="no tokens yet")


@app.command("revoke")
def revoke(token: Annotated[str, typer.Argument(metavar="ID", help="The token's id, as `token ls` shows it.")]) -> None:
    """Make a token worthless, from now on."""
    with backend() as there:
        there.revoke_token(token)
    say(f"{token} revoked")


def _state(revoked: float | None, expires: float | None, now: float) -> str:
    if revoked is not None:
        return "revoked"
    return "expired" if expires is not None and expires <= now else "valid"

"""imageforge up: start what is not running, and replace what runs in another version."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import say
from imageforge.cli.state import Workplace
from imageforge.cli.verbosity import VERBOSITY
from imageforge.stack.up import ensure_up, run_foreground
from imageforge.store import Database, Scope, Tokens


def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay in the foreground, for systemd.")] = False,
) -> None:
    """Start the stack and bring back every app.

    That is registry, Redis, balancer, controller, API and workers, and an engine where none answers. The first time it
    prints a token for the API. Services of another version are replaced one by one; the apps run on.
    """
    here = Workplace.here()
    if foreground:
        run_foreground(here.home, here.settings)
    report = ensure_up(here.home, here.settings, upgrade=True, on_line=lambda name: say(f"up  {name}"))
    address = here.settings.url(f"APP.{here.settings.host_suffix}")
    say(f"ready  {address}  engine {report.engine} ({report.engine_origin})")
    if VERBOSITY.quiet:
        return  # a token that nobody sees would be made for nobody
    with here.database() as database:
        first = first_token(database)
    if first:
        say(f"api    {here.settings.service_url}  a token for it, which is shown this once: {first}")


def first_token(database: Database) -> str | None:
    """An administrator's token for a home that has none yet."""
    tokens = Tokens(database)
    return None if tokens.all() else tokens.create("first", Scope.ADMIN)[1]

"""imageforge context: which server commands go to."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.client import Contexts

app = typer.Typer(no_args_is_help=True, help="The servers that were logged in to.")


@app.command("ls")
def list_contexts(form: FormatOption = Format.TABLE) -> None:
    """List them; the active one is marked."""
    contexts = Contexts.of_user()
    active = contexts.active()
    rows = [
        {"active": "*" if active and active.name == context.name else "", "name": context.name, "url": context.url}
        for context in contexts.all()
    ]
    show(rows, columns=("active", "name", "url"), form=form, empty="none: commands work here. imageforge login URL")


@app.command("use")
def use(name: Annotated[str, typer.Argument(help="The context, or `here` for this machine.")]) -> None:
    """Send commands to a server from now on; `here` is this machine."""
    Contexts.of_user().use("" if name == "here" else name)
    say(f"commands go to {name}")


@app.command("rm")
def remove(name: Annotated[str, typer.Argument(help="The context.")]) -> None:
    """Forget a server and its token."""
    Contexts.of_user().remove(name)
    say(f"{name} forgotten")

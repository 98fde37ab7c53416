"""imageforge down: stop what `up` started; with --purge, remove all that imageforge ever made."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.confirm import confirm
from imageforge.cli.output import say
from imageforge.cli.state import Workplace
from imageforge.stack import up
from imageforge.stack.purge import inventory, purge


def down(
    purge_all: Annotated[bool, typer.Option("--purge", help="Also remove every trace, after listing it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the applications and the stack. The next `up` brings them back, unless --purge removed them."""
    here = Workplace.here()
    if not here.home.exists:
        say(f"nothing to stop: {here.home.path} holds no instance")
        return
    if purge_all:
        for line in inventory(here.home, here.settings):
            say(line)
        confirm("remove all of it, for good", yes=yes)
    if not up.down(here.home, here.settings, on_line=say):
        say("nothing was running")
    if purge_all:
        for line in purge(here.home, here.settings):
            say(line)

"""imageforge restart: replace every replica by a new one of the same release."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import say
from imageforge.cli.rollout import settle
from imageforge.cli.state import Workplace
from imageforge.pipeline import operations
from imageforge.store import Apps


def restart(app: Annotated[str, typer.Argument(help="The app.")]) -> None:
    """Replace the replicas of every process one by one, as a rollout does: no request is lost."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database:
        Apps(database).require(app)
    names = operations.restart(app, here.home, controller)
    settle(controller, names, here.settings.deploy_deadline)
    say(f"{app} restarted")

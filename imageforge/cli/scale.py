"""imageforge scale: how many replicas run."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import say
from imageforge.cli.rollout import settle
from imageforge.cli.state import Workplace
from imageforge.pipeline import operations
from imageforge.store import Apps


def scale(
    app: Annotated[str, typer.Argument(help="The app.")],
    replicas: Annotated[int, typer.Argument(min=0, max=100, metavar="N", help="How many copies are to run.")],
) -> None:
    """Run N replicas from now on. Outlives a push, unless the repository's imageforge.toml sets replicas."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database:
        Apps(database).require(app)
        operations.scale(app, replicas, here.home, database, controller)
    settle(controller, app, here.settings.deploy_deadline)
    say(f"{app} runs {replicas} replicas")

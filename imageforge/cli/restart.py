"""imageforge restart: replace every replica by a new one of the same release."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import say
from imageforge.cli.settle import settle
from imageforge.cli.state import Workplace
from imageforge.config.repository import WEB
from imageforge.pipeline import operations
from imageforge.report.units import counted
from imageforge.store import Apps


def restart(app: Annotated[str, typer.Argument(help="The app.")]) -> None:
    """Replace every replica by a new one.

    The replicas of each process go one by one, as in a rollout: no request is lost.
    """
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database:
        Apps(database).require(app)
    names = operations.restart(app, here.home, controller)
    settle(controller, names, here.settings.deploy_deadline)
    standing = [status for status in controller.deployments() if status.app == app and not status.deleting]
    for status in sorted(standing, key=lambda one: (one.name != app, one.name)):
        process = "" if len(standing) == 1 else f" of {status.component or WEB}"
        release = f" of release {status.release}" if status.release else ""
        say(f"{app} runs {counted(status.ready, 'new replica')}{process}{release}")

"""imageforge restart: replace every replica by a new one of the same release."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.kinds import meant_as_app, only, parse_target
from imageforge.cli.output import say, write
from imageforge.cli.owned import refuse_owned
from imageforge.cli.settle import settle, settle_in
from imageforge.cli.state import Workplace
from imageforge.cli.target import DEFAULT, SpaceOption, is_object, refuse_with_app
from imageforge.config.names import WEB
from imageforge.pipeline import operations
from imageforge.report.units import counted
from imageforge.store import Apps


def restart(
    app: Annotated[str, typer.Argument(metavar="APP | KIND/NAME", help="An app, or deployment/web.")],
    namespace: SpaceOption = None,
) -> None:
    """Replace every replica by a new one.

    The replicas of each process go one by one, as in a rollout: no request is lost.
    """
    if is_object(app):
        _restart_object(app, namespace or DEFAULT)
        return
    refuse_with_app(app, namespace=namespace)
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database, meant_as_app(app):
        Apps(database).require(app)
    names = operations.restart(app, here.home, controller)
    settle(controller, names, here.settings.deploy_deadline)
    standing = [status for status in controller.deployments() if status.app == app and not status.deleting]
    for status in sorted(standing, key=lambda one: (one.name != app, one.name)):
        process = "" if len(standing) == 1 else f" of {status.component or WEB}"
        release = f" of release {status.release}" if status.release else ""
        say(f"{app} runs {counted(status.ready, 'new replica')}{process}{release}")


def _restart_object(word: str, namespace: str) -> None:
    name = only(parse_target(word), "Deployment").name
    controller = Workplace.here().controller()
    status = controller.deployment(namespace, name)
    refuse_owned(status, f"restart {status.app}")
    controller.restart(namespace, name)
    if not status.paused:
        settle_in(controller, namespace, name)
    write(f"deployment/{name} restarted")

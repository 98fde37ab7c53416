"""imageforge scale: how many replicas run."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import say
from imageforge.cli.rollout import settle
from imageforge.cli.state import Workplace, app_named
from imageforge.errors import UsageError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import NAMESPACE
from imageforge.store import Apps, Releases


def scale(
    app: Annotated[str, typer.Argument(help="The app.")],
    replicas: Annotated[int, typer.Argument(min=0, max=100, metavar="N", help="How many copies are to run.")],
) -> None:
    """Run N replicas from now on. Outlives a push, unless the repository's imageforge.toml sets replicas."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database, deploying(here.home, app, "a scale"):
        app_named(database, app)
        live = Releases(database).live(app)
        if live is None:
            raise UsageError("no-live-release", app, "no release of it is live", hint=f"imageforge releases {app}")
        origin = (live.report or {}).get("replicas_from")
        if origin == "imageforge.toml":
            raise UsageError(
                "replicas-set-by-file",
                app,
                "its imageforge.toml sets [app] replicas, and the next push would undo this",
                hint="change it there and push, or remove it there to scale by hand",
                kept="nothing was changed",
            )
        controller.scale(NAMESPACE, app, replicas)
        Apps(database).set_replicas(app, replicas)
        settle(controller, app, here.settings.deploy_deadline)
    say(f"{app} runs {replicas} replicas")

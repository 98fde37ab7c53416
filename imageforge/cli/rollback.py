"""imageforge rollback: run an earlier release again."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption
from imageforge.cli.progress import Progress
from imageforge.cli.report import require
from imageforge.cli.run import show_report
from imageforge.cli.state import Workplace, app_named
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import Deployer, again, roll_out
from imageforge.pipeline.event import Recorder
from imageforge.store import Releases, ReleaseStatus


def rollback(
    app: Annotated[str, typer.Argument(help="The app.")],
    number: Annotated[int | None, typer.Argument(metavar="N", help="The release; the one before if left out.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make release N the app's newest again: same image, same manifests, no build."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database, deploying(here.home, app, "a rollback"):
        app_named(database, app)
        releases = Releases(database)
        if number is None:
            earlier = (r for r in releases.of(app) if r.status is ReleaseStatus.SUPERSEDED)
            target = require(next(earlier, None), app, None)
        else:
            target = require(releases.find(app, number), app, number)
        deployer = Deployer(home=here.home, settings=here.settings, database=database, controller=controller)
        release = again(target, deployer)
        with Progress() as progress:
            report = roll_out(release, deployer, Recorder(listeners=(progress,)), ())
    show_report(report, form)

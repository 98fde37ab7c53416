"""imageforge rollback: run an earlier release again."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption
from imageforge.cli.progress import Progress
from imageforge.cli.report import require
from imageforge.cli.run import cancelled_by_interrupt, show_report
from imageforge.cli.state import Workplace, app_named
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import Deployer, again, roll_out, settle
from imageforge.pipeline.event import Recorder
from imageforge.store import Releases


def rollback(
    app: Annotated[str, typer.Argument(help="The app.")],
    number: Annotated[int | None, typer.Argument(metavar="N", help="The release; the one before if left out.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Make release N the app's newest again: same image, same manifests, no build."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database, deploying(here.home, app, "a rollback"), cancelled_by_interrupt():
        app_named(database, app)
        deployer = Deployer(home=here.home, settings=here.settings, database=database, controller=controller)
        settle(app, deployer)
        releases = Releases(database)
        found = next(iter(releases.superseded(app)), None) if number is None else releases.find(app, number)
        release = again(require(found, app, number), deployer)
        with Progress() as progress:
            report = roll_out(release, deployer, Recorder(listeners=(progress,)), ())
    show_report(report, form)

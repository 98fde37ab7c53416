"""Going back to an earlier release on this machine."""

from __future__ import annotations

from imageforge.cli.follow import show_report
from imageforge.cli.output import Format
from imageforge.cli.progress import progress
from imageforge.cli.release import require
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import roll_out, tell_environment
from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.event import Recorder
from imageforge.pipeline.interrupt import cancelled_by_interrupt
from imageforge.pipeline.release import again, settle
from imageforge.store import Apps, Releases


def rollback_here(app: str, number: int | None, form: Format) -> None:
    """Run release `number` again, or the one before the live one, and report."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database, deploying(here.home, app, "a rollback"), cancelled_by_interrupt():
        Apps(database).require(app)
        deployer = Deployer(home=here.home, settings=here.settings, database=database, controller=controller)
        settle(app, deployer)
        releases = Releases(database)
        found = next(iter(releases.superseded(app)), None) if number is None else releases.find(app, number)
        live = releases.live(app)
        if found is None and number is None and live is not None:
            raise UsageError(
                "no-such-release",
                app,
                f"release {live.number} is live, and none was before it",
                hint="deploy a change first; `imageforge releases` lists what can be gone back to",
            )
        earlier = require(found, app, number)
        release = again(earlier, deployer, note=f"rollback to {earlier.number}")
        with progress() as shown:
            recorder = Recorder(listeners=(shown,))
            tell_environment(earlier, deployer, recorder)
            report = roll_out(release, deployer, recorder, ())
    show_report(report, form)

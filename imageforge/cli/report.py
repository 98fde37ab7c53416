"""imageforge report: how a deploy went."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.follow import show_report
from imageforge.cli.output import Format, FormatOption
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.report.deploy import DeployReport
from imageforge.store import Apps, Release, Releases


def report(
    app: Annotated[str, typer.Argument(help="The app.")],
    number: Annotated[int | None, typer.Argument(metavar="N", help="The release; the live one if left out.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show the deploy report of a release."""
    here = Workplace.here()
    with here.database() as database:
        Apps(database).require(app)
        found = Releases(database).find(app, number) if number else Releases(database).live(app)
    release = require(found, app, number)
    if not release.report or "requests" not in release.report:
        error = (release.report or {}).get("error", "it was not rolled out")
        raise UsageError("no-report", f"{app} release {release.number}", f"{release.status.value}: {error}")
    show_report(DeployReport.from_json(release.report), form)


def require(release: Release | None, app: str, number: int | None) -> Release:
    """The release, or UsageError (`no-such-release`)."""
    if release is None:
        what = f"there is no release {number} of it" if number else "no release of it is live, or was before this one"
        raise UsageError("no-such-release", app, what, hint=f"imageforge releases {app}")
    return release

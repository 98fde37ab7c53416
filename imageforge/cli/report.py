"""imageforge report: how a deploy went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from imageforge.cli.backend import backend
from imageforge.cli.follow import show_report
from imageforge.cli.get import NamespaceOption
from imageforge.cli.kinds import meant_as_app, only, parse_target
from imageforge.cli.objects import objects
from imageforge.cli.output import Format, FormatOption, document, write
from imageforge.errors import DeployFailed, UsageError
from imageforge.report import rollout
from imageforge.report.deploy import DeployReport
from imageforge.report.rollout import RolloutReport

LIVE = "live"


def report(
    app: Annotated[str, typer.Argument(metavar="APP", help="The app; or deployment/NAME of a file.")],
    number: Annotated[
        int | None,
        typer.Argument(metavar="N", help="The release, or the Deployment's revision; the last one if left out."),
    ] = None,
    namespace: NamespaceOption = "default",
    form: FormatOption = Format.TABLE,
) -> None:
    """Show how a release or a Deployment of a file was rolled out."""
    if "/" in app:
        target = only(parse_target(app), "Deployment")
        show_rollout(objects().report(namespace, target.name, number), form)
        return
    with backend() as there, meant_as_app(app):
        known = there.releases(app)
        chosen = next((item for item in known if _is(item, number)), None)
        if chosen is None:
            raise no_release(app, number)
        release = there.release(app, chosen["number"])
    found = release["report"] or {}
    if "requests" in found:
        show_report(DeployReport.from_json(found), form)
        return
    stood = [RolloutReport.from_json(item) for item in found.get("rollouts", ())]
    for item in stood:
        show_rollout(item, form)
    error = found.get("error", "it was not rolled out")
    subject, message = f"{app} release {release['number']}", f"{release['status']}: {error}"
    raise DeployFailed("release-failed", subject, message) if stood else UsageError("no-report", subject, message)


def _is(release: Mapping[str, Any], number: int | None) -> bool:
    """Whether it is the one that was asked for, the live one where none was."""
    return bool(release["number"] == number) if number else release["status"] == LIVE


def show_rollout(report: RolloutReport, form: Format) -> None:
    """Print the report of one Deployment."""
    if form in (Format.JSON, Format.YAML):
        document(report.as_json(), form)
    elif form is Format.MARKDOWN:
        write(rollout.as_markdown(report))
    else:
        write(rollout.as_text(report))


def no_release(app: str, number: int | None) -> UsageError:
    """There is no such release."""
    what = f"there is no release {number} of it" if number else "no release of it is live, or was before this one"
    return UsageError("no-such-release", app, what, hint=f"imageforge releases {app}")

"""Showing a build that runs elsewhere, until it has ended or the watcher goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from imageforge.cli.output import Format, document, say, write
from imageforge.cli.progress import progress
from imageforge.client.errors import ServerError
from imageforge.pipeline.event import EventKind, event_from
from imageforge.report.deploy import DeployReport, as_markdown, as_text


def follow(build: int, rows: Iterable[Mapping[str, Any]], form: Format) -> None:
    """Show the events, then the report or the image on stdout. Raises what ended it; Ctrl-C leaves it running."""
    report: DeployReport | None = None
    try:
        with progress() as shown:
            for row in rows:
                if row["kind"] == "end":
                    _end(row["build"], report, form)
                    return
                event = event_from(row)
                shown(event)
                if event.kind is EventKind.FINISHED and event.data.get("report"):
                    report = DeployReport.from_json(event.data["report"])
    except KeyboardInterrupt:
        say(f"build {build} goes on; imageforge builds log -f {build} shows it, builds cancel {build} ends it")
        raise


def show_report(report: DeployReport, form: Format) -> None:
    """Print a deploy report."""
    if form in (Format.JSON, Format.YAML):
        document(report.as_json(), form)
    elif form is Format.MARKDOWN:
        write(as_markdown(report).rstrip("\n"))
    else:
        write(as_text(report))


def _end(build: Mapping[str, Any], report: DeployReport | None, form: Format) -> None:
    if build["status"] != "succeeded":
        _raise(build)
    if report is not None:
        show_report(report, form)
    elif form in (Format.JSON, Format.YAML):
        document({"build": build["id"], "reference": build["image"], "reused_from": build["reused_from"]}, form)
    elif build["image"]:
        write(str(build["image"]))


def _raise(build: Mapping[str, Any]) -> NoReturn:
    error = build["error"] or {
        "code": f"build-{build['status']}",
        "message": f"superseded by build {build['superseded_by']}" if build["superseded_by"] else "it was cancelled",
    }
    raise ServerError(
        str(error["code"]),
        str(error.get("subject") or f"build {build['id']}"),
        str(error["message"]),
        kind=error.get("kind") or "failed",
        hint=error.get("hint"),
        kept=error.get("kept"),
    )

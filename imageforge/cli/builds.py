"""imageforge builds: list, show, log, cancel, retry."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from imageforge.cli.backend import backend
from imageforge.cli.follow import follow
from imageforge.cli.output import Format, FormatOption, document, facts, say, show
from imageforge.cli.progress import progress
from imageforge.pipeline.event import event_from
from imageforge.report.units import age, moment, seconds

app = typer.Typer(no_args_is_help=True, help="The builds, here or at the server of the active context.")
Id = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**31)]


@app.command("ls")
def list_builds(
    name: Annotated[str | None, typer.Argument(metavar="[APP]", help="Of one app.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many.")] = 20,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the newest builds."""
    with backend() as there:
        rows = [_row(build) for build in there.builds(name, limit)]
    show(
        rows,
        columns=("build", "app", "status", "origin", "revision", "release", "age", "took", "error"),
        wide=("branch", "source", "actor", "image"),
        form=form,
        empty="no builds yet: imageforge build PATH",
    )


@app.command("show")
def show_build(build: Id, form: FormatOption = Format.TABLE) -> None:
    """Show what is known of one build."""
    with backend() as there:
        found = dict(there.build(build))
    if form in (Format.JSON, Format.YAML):
        document(found, form)
    else:
        facts(_facts(found, time.time()), form)


@app.command("log")
def log_of_build(
    build: Id,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show the events of a build, as they were shown when it ran."""
    with backend() as there:
        if following:
            follow(build, there.events(build), form)
            return
        rows = [row for row in there.events(build, follow=False) if row["kind"] != "end"]
    if form in (Format.JSON, Format.YAML):
        document([dict(row) for row in rows], form)
        return
    with progress(everything=True) as shown:
        for row in rows:
            shown(event_from(row))


@app.command("cancel")
def cancel(build: Id) -> None:
    """Cancel a build.

    One that waits ends at once, one that runs within two seconds.
    """
    with backend() as there:
        found = there.cancel(build)
    say(f"build {build} {'is being cancelled' if found['status'] == 'running' else 'cancelled'}")


@app.command("retry")
def retry(build: Id, form: FormatOption = Format.TABLE) -> None:
    """Build the same once more, and follow it."""
    with backend() as there:
        again = there.retry(build)
        say(f"build {again}")
        follow(again, there.events(again), form)


def _facts(build: Mapping[str, Any], now: float) -> dict[str, object]:
    """What is known of a build, in words; what is not known is left out."""
    started, finished, error = build["started_at"], build["finished_at"], build["error"] or {}
    waited = (started or finished or now) - build["created_at"]
    found = {
        "build": build["id"],
        "app": build["app"],
        "status": build["status"],
        "origin": build["origin"],
        "actor": build["actor"],
        "source": build["source"],
        "branch": build["branch"],
        "revision": build["revision"],
        "message": build["message"],
        "created": moment(build["created_at"], now),
        "waited": seconds(waited),
        "started": started and moment(started, now),
        "finished": finished and moment(finished, now),
        "took": started and seconds((finished or now) - started),
        "attempt": build["attempt"] if build["attempt"] > 1 else None,
        "release": build["release"],
        "image": build["image"],
        "reused from": build["reused_from"] and f"build {build['reused_from']}",
        "superseded by": build["superseded_by"] and f"build {build['superseded_by']}",
        "error": error and f"{error['code']}: {error['message']}",
        "hint": error.get("hint"),
    }
    return {name: value for name, value in found.items() if value not in (None, "", {})}


def _row(build: Mapping[str, Any]) -> dict[str, object]:
    started = build["started_at"]
    took = (build["finished_at"] or time.time()) - started if started else None
    return {
        "build": build["id"],
        "app": build["app"],
        "status": build["status"],
        "origin": build["origin"],
        "revision": str(build["revision"])[:8],
        "release": build["release"],
        "age": age(time.time() - build["created_at"]),
        "took": None if took is None else seconds(took),
        "error": (build["error"] or {}).get("code"),
        "message": (build["error"] or {}).get("message"),
        "branch": build["branch"],
        "source": build["source"],
        "actor": build["actor"],
        "image": build["image"],
    }

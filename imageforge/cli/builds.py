"""imageforge builds: list, show, log."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, document, show
from imageforge.cli.progress import Progress
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.pipeline.event import Event, EventKind
from imageforge.report.units import age, seconds
from imageforge.stack.process import lives
from imageforge.store import Build, Builds, Database

app = typer.Typer(no_args_is_help=True, help="The builds of this instance.")


@app.command("ls")
def list_builds(
    name: Annotated[str | None, typer.Argument(metavar="[APP]", help="Of one app.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the newest builds."""
    here = Workplace.here()
    with here.database() as database:
        Builds(database).settle(lives)
        rows = [_row(build) for build in Builds(database).latest(app=name, limit=limit)]
    columns = ("build", "app", "status", "age", "took", "error")
    show(rows, columns=columns, wide=("source", "image"), form=form, empty="no builds yet: imageforge build PATH")


@app.command("show")
def show_build(
    build_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=2**31)], form: FormatOption = Format.YAML
) -> None:
    """Show one build."""
    here = Workplace.here()
    with here.database() as database:
        document(_row(_find(database, build_id)), form if form is Format.JSON else Format.YAML)


@app.command("log")
def log_of_build(
    build_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=2**31)], form: FormatOption = Format.TABLE
) -> None:
    """Show the events of a build, as they were shown when it ran."""
    here = Workplace.here()
    with here.database() as database:
        _find(database, build_id)
        stored = Builds(database).events(build_id)
    if form in (Format.JSON, Format.YAML):
        document([dict(row) for row in stored], form)
        return
    with Progress(everything=True, lines=True) as progress:
        for row in stored:
            values = {key: value for key, value in row.items() if key != "build_id"}
            progress(Event(**{**values, "kind": EventKind(row["kind"])}))


def _find(database: Database, build_id: int) -> Build:
    found = Builds(database).find(build_id)
    if found is None:
        raise UsageError(
            "no-such-build", str(build_id), "there is no build of this number", hint="imageforge builds ls"
        )
    return found


def _row(build: Build) -> dict[str, object]:
    took = (build.finished_at or time.time()) - build.started_at
    return {
        "build": build.id,
        "app": build.app,
        "status": build.status.value,
        "age": age(time.time() - build.started_at),
        "took": seconds(took),
        "error": (build.error or {}).get("code"),
        "message": (build.error or {}).get("message"),
        "source": build.source,
        "image": build.reference,
    }

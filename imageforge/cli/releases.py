"""imageforge releases: what was released."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, show
from imageforge.cli.state import Workplace, app_named
from imageforge.report.units import age
from imageforge.store import Releases


def releases(app: Annotated[str, typer.Argument(help="The app.")], form: FormatOption = Format.TABLE) -> None:
    """List an app's releases, newest first."""
    here = Workplace.here()
    now = time.time()
    with here.database() as database:
        app_named(database, app)
        rows = [
            {
                "release": release.number,
                "status": release.status.value,
                "age": age(now - release.created_at),
                "build": release.build_id,
                "note": release.note,
                "image": release.reference,
                "created_at": release.created_at,
            }
            for release in Releases(database).of(app)
        ]
    show(rows, columns=("release", "status", "age", "build", "note", "image"), form=form, empty="no releases yet")

"""imageforge releases: what was released."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from imageforge.cli.backend import backend
from imageforge.cli.output import Format, FormatOption, show
from imageforge.report.units import age


def releases(app: Annotated[str, typer.Argument(help="The app.")], form: FormatOption = Format.TABLE) -> None:
    """List an app's releases, newest first."""
    now = time.time()
    with backend() as there:
        rows = [
            {
                "release": release["number"],
                "status": release["status"],
                "age": age(now - release["created_at"]),
                "build": release["build"],
                "note": release["note"],
                "image": shortened(release["image"]) if form is Format.TABLE else release["image"],
                "created_at": release["created_at"],
            }
            for release in there.releases(app)
        ]
    show(rows, columns=("release", "status", "age", "build", "note", "image"), form=form, empty="no releases yet")


def shortened(reference: str) -> str:
    """A reference whose digest has the first twelve of its digits; -o wide and JSON have them all."""
    name, separator, digest = reference.partition("@")
    return f"{name}{separator}{digest[:19]}…" if separator else reference

"""imageforge manifest: the Kubernetes manifests of an app."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.output import write
from imageforge.cli.report import require
from imageforge.cli.state import Workplace
from imageforge.store import Apps, Releases


def manifest(
    app: Annotated[str, typer.Argument(help="The app.")],
    number: Annotated[int | None, typer.Argument(metavar="N", help="The release; the live one if left out.")] = None,
) -> None:
    """Print the manifests that run a release, as YAML: what a cluster would take."""
    here = Workplace.here()
    with here.database() as database:
        Apps(database).require(app)
        found = Releases(database).find(app, number) if number else Releases(database).live(app)
    write(require(found, app, number).manifests.rstrip("\n"))

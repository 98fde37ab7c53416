"""imageforge logs: the replicas' output, merged."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, write
from imageforge.cli.state import Workplace
from imageforge.pipeline.domains import NAMESPACE
from imageforge.store import Apps


def logs(
    app: Annotated[str, typer.Argument(help="The app.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only so many last lines of each replica.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Print what the replicas wrote, each line with its replica's name. With -o json, one object a line."""
    here = Workplace.here()
    with here.database() as database:
        Apps(database).require(app)
    for line in here.controller().logs(NAMESPACE, app, follow=follow, tail=tail):
        if form is Format.JSON:
            write(json.dumps(asdict(line)))
        else:
            write(f"{line.replica} | {line.text}")
        sys.stdout.flush()

"""imageforge logs: the replicas' output, merged."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, write
from imageforge.cli.state import Workplace
from imageforge.config.repository import deployment_name
from imageforge.pipeline import operations
from imageforge.pipeline.domains import NAMESPACE
from imageforge.store import Apps
from runtime import ControllerClient


def logs(
    app: Annotated[str, typer.Argument(help="The app.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only so many last lines of each replica.")] = None,
    process: Annotated[str | None, typer.Option("--process", help="Of one process; all of them if left out.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Print what the replicas wrote.

    Each line has its replica's name; with -o json, one object a line.
    """
    here = Workplace.here()
    with here.database() as database:
        Apps(database).require(app)
    controller = here.controller()
    for line in controller.logs(NAMESPACE, *_wanted(app, process, controller), follow=follow, tail=tail):
        if form is Format.JSON:
            write(json.dumps(asdict(line)))
        else:
            write(f"{line.replica} | {line.text}")
        sys.stdout.flush()


def _wanted(app: str, process: str | None, controller: ControllerClient) -> tuple[str, ...]:
    if process is None:
        return operations.running(app, controller)
    return (deployment_name(app, process),)

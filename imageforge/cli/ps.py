"""imageforge ps: the replicas."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, show
from imageforge.cli.state import Workplace
from imageforge.report.units import age
from imageforge.store import Apps


def ps(
    app: Annotated[str | None, typer.Argument(help="One app; all of them where it is left out.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the running replicas."""
    here = Workplace.here()
    controller = here.controller()
    if app is not None:
        with here.database() as database:
            Apps(database).require(app)
    now = time.time()
    rows = [
        {
            "app": deployment.name,
            "replica": replica.name,
            "state": replica.phase,
            "ready": replica.ready,
            "restarts": replica.restarts,
            "age": age(now - replica.started_at) if replica.started_at else None,
            "release": replica.release,
            "address": f"{replica.address}:{replica.port}" if replica.address else None,
            "image": replica.image,
            "message": replica.message,
        }
        for deployment in controller.deployments()
        if app in (None, deployment.name)
        for replica in deployment.replica_list
    ]
    columns = ("app", "replica", "state", "ready", "restarts", "age", "release")
    show(rows, columns=columns, wide=("address", "image", "message"), form=form, empty="nothing runs")

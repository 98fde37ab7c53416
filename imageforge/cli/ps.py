"""imageforge ps: the replicas."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, show
from imageforge.cli.state import Workplace
from imageforge.config.names import WEB
from imageforge.report.units import replica_age
from imageforge.store import Apps
from runtime import ReplicaStatus


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
            "app": deployment.app,
            "process": deployment.component or WEB,
            "replica": replica.name,
            "state": replica.phase,
            "ready": replica.ready,
            "restarts": replica.restarts,
            "age": replica_age(replica, now),
            "release": replica.release,
            "address": _address(replica),
            "image": replica.image,
            "message": replica.message,
        }
        for deployment in controller.deployments()
        if app in (None, deployment.app)
        for replica in deployment.replica_list
    ]
    several = ("process",) if any(row["process"] != WEB for row in rows) else ()
    columns = ("app", *several, "replica", "state", "ready", "restarts", "age", "release")
    show(rows, columns=columns, wide=("address", "image", "message"), form=form, empty="nothing runs")


def _address(replica: ReplicaStatus) -> str | None:
    """Of a process without a port, the host alone."""
    return f"{replica.address}:{replica.port}" if replica.address and replica.port else replica.address or None

"""imageforge logs: the replicas' output, merged."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from imageforge.cli.moment import duration, moment, stamp
from imageforge.cli.output import Format, FormatOption, write
from imageforge.cli.state import Workplace
from imageforge.cli.target import (
    DEFAULT,
    ContainerOption,
    ProcessOption,
    SpaceOption,
    app_selection,
    is_object,
    object_selection,
    refuse_with_app,
    refuse_with_object,
)
from imageforge.errors import UsageError
from runtime import ControllerClient, LogLine, Selection

KINDS = ("Deployment", "Pod", "Job", "CronJob")


def logs(
    word: Annotated[
        str | None,
        typer.Argument(metavar="[APP | KIND/NAME]", help="An app; or deployment/web, pod/x, job/y, cronjob/z."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    selector: Annotated[
        str | None, typer.Option("--selector", "-l", metavar="KEY=VALUE,…", help="All pods that have these labels.")
    ] = None,
    namespace: SpaceOption = None,
    container: ContainerOption = None,
    every: Annotated[bool, typer.Option("--all-containers", help="Those of all containers.")] = False,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Of the container before the last restart.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, help="Only so many last lines of each container.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only what is newer, such as 5m or 2h30m.")] = None,
    since_time: Annotated[str | None, typer.Option("--since-time", help="Only what is newer than a time.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="With the time of each line.")] = False,
    process: ProcessOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Print what the replicas of an app or of an object wrote.

    Objects are a Deployment, a pod, a Job, or a CronJob, of which it is the latest Job. Each line has
    its replica's name; with -o json, one object a line.
    """
    if previous and follow:
        raise UsageError("previous-and-follow", "logs", "what has ended writes no more", hint="leave -f or -p out")
    if container is not None and every:
        raise UsageError("container-and-all", "logs", "one container or all of them", hint="leave -c out")
    if since is not None and since_time is not None:
        raise UsageError("since-twice", "logs", "one beginning is enough", hint="leave --since or --since-time out")
    began = moment(since_time) if since_time else time.time() - duration(since) if since else 0.0
    here = Workplace.here()
    controller = here.controller()
    wanted = _selection(word, selector, namespace, process, here, controller, container=container or "", every=every)
    lines = controller.output(wanted, follow=follow, tail=tail, previous=previous, since=began)
    for line in lines:
        if form is Format.JSON:
            write(json.dumps(asdict(line)))
        else:
            write(shown(line, with_container=every, with_time=timestamps))
        sys.stdout.flush()


def shown(line: LogLine, *, with_container: bool, with_time: bool) -> str:
    """A line for people."""
    who = f"{line.replica}/{line.container}" if with_container else line.replica
    return f"{who} | {stamp(line.at)} {line.text}" if with_time else f"{who} | {line.text}"


def labels(selector: str) -> dict[str, str]:
    """``app=web,tier=front`` as labels. Raises UsageError (`invalid-selector`)."""
    found = {}
    for part in selector.split(","):
        key, equals, value = part.strip().partition("=")
        value = value.removeprefix("=")
        if not key or not equals or key.endswith("!"):
            raise UsageError(
                "invalid-selector", selector, "expected labels that are equal", hint="such as app=web,tier=front"
            )
        found[key.strip()] = value.strip()
    return found


def _selection(
    word: str | None,
    selector: str | None,
    namespace: str | None,
    process: str | None,
    here: Workplace,
    controller: ControllerClient,
    *,
    container: str,
    every: bool,
) -> Selection:
    if (word is None) == (selector is None):
        raise UsageError(
            "name-missing" if word is None else "name-and-selector",
            "logs",
            "nothing is named" if word is None else "either a name or labels",
            hint="imageforge logs APP, logs KIND/NAME or logs -l app=web",
        )
    if selector is not None:
        refuse_with_object(selector, process)
        return Selection(namespace=namespace or DEFAULT, labels=labels(selector), container=container, every=every)
    assert word is not None
    if is_object(word):
        refuse_with_object(word, process)
        return object_selection(word, namespace, *KINDS, container=container, every=every)
    refuse_with_app(word, namespace=namespace)
    return app_selection(word, process, here, controller, container=container, every=every)

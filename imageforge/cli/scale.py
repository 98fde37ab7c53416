"""imageforge scale: how many replicas run."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.kinds import meant_as_app, only, parse_target
from imageforge.cli.output import say, write
from imageforge.cli.owned import process_of, refuse_owned, tell_owners
from imageforge.cli.settle import settle, settle_in
from imageforge.cli.state import Workplace
from imageforge.cli.target import DEFAULT, SpaceOption, is_object, refuse_with_app
from imageforge.config.names import WEB
from imageforge.errors import UsageError
from imageforge.pipeline import operations
from imageforge.pipeline.domains import NAMESPACE
from imageforge.report.units import counted
from imageforge.store import Apps

MOST = 100


def scale(
    app: Annotated[str, typer.Argument(metavar="APP | KIND/NAME", help="An app, or deployment/web.")],
    counts: Annotated[
        list[str] | None,
        typer.Argument(metavar="N | PROCESS=N…", help="How many copies are to run: of web, or of the process named."),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", min=0, max=MOST, metavar="N", help="The same as N, as kubectl has it.")
    ] = None,
    namespace: SpaceOption = None,
) -> None:
    """Run N replicas from now on. Outlives a push, unless the repository's imageforge.toml sets replicas.

    Of a Deployment of a file it outlives an apply, unless the file sets replicas.
    """
    if bool(counts) == (replicas is not None):
        message = "both N and --replicas say how many" if counts else "how many is not said"
        raise UsageError("usage", f"imageforge scale {app}", message, hint=f"imageforge scale {app} 3")
    asked = parse_counts(counts or [str(replicas)])
    if is_object(app):
        _scale_object(app, asked, namespace or DEFAULT)
        return
    refuse_with_app(app, namespace=namespace)
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database, meant_as_app(app):
        Apps(database).require(app)
        names = operations.scale(app, asked, here.home, database, controller)
    tell_owners(controller, NAMESPACE, names)
    settle(controller, names, here.settings.deploy_deadline)
    for process, count in asked.items():
        say(f"{app} runs {counted(count, 'replica')}" + ("" if process == WEB else f" of {process}"))


def _scale_object(word: str, asked: dict[str, int], namespace: str) -> None:
    name = only(parse_target(word), "Deployment").name
    if tuple(asked) != (WEB,):
        raise UsageError("invalid-replicas", word, "a Deployment has no processes", hint=f"imageforge scale {word} 3")
    controller, count = Workplace.here().controller(), asked[WEB]
    status = controller.deployment(namespace, name)
    refuse_owned(status, f"scale {status.app} {process_of(status)}{count}")
    controller.scale(namespace, name, count)
    tell_owners(controller, namespace, [name])
    if not (status.paused or controller.autoscalers_of(namespace, name)):
        settle_in(controller, namespace, name)
    write(f"deployment/{name} scaled")


def parse_counts(counts: list[str]) -> dict[str, int]:
    """`3`, `worker=2` and several of them as replicas by process. Raises UsageError (`invalid-replicas`)."""
    asked: dict[str, int] = {}
    for text in counts:
        process, named, number = text.rpartition("=")
        process = process if named else WEB
        if not (number.isascii() and number.isdigit() and int(number) <= MOST and process):
            raise UsageError(
                "invalid-replicas",
                text,
                f"expected a number from 0 to {MOST}, or PROCESS=N with such a number",
                hint="imageforge scale APP 3, or imageforge scale APP worker=2",
                kept="nothing was changed",
            )
        if process in asked:
            raise UsageError(
                "invalid-replicas", text, f"{process} is given twice", hint="name each once", kept="nothing was changed"
            )
        asked[process] = int(number)
    return asked

"""What `logs`, `exec` and `run` are of: an app by its bare name, or an object of a file as KIND/NAME."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from imageforge.cli.kinds import meant_as_app, only, parse_target
from imageforge.cli.state import Workplace
from imageforge.config.names import deployment_name
from imageforge.errors import UsageError
from imageforge.pipeline import operations
from imageforge.pipeline.domains import NAMESPACE
from imageforge.store import Apps, Build, Builds
from runtime import ControllerClient, NotFound, Selection

ContainerOption = Annotated[
    str | None, typer.Option("--container", "-c", help="One of its containers; the main one if left out.")
]
ProcessOption = Annotated[str | None, typer.Option("--process", help="Of an app: one of its processes.")]
SpaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The namespace of KIND/NAME; default if left out.")
]
DEFAULT = "default"


def is_object(word: str) -> bool:
    """Whether it is KIND/NAME."""
    return "/" in word


def app_selection(
    app: str, process: str | None, here: Workplace, controller: ControllerClient, *, container: str, every: bool = False
) -> Selection:
    """The replicas of an app, or of one of its processes. Raises NotFound (`not-running`) where nothing of it is
    there."""
    with here.database() as database, meant_as_app(app):
        Apps(database).require(app)
        if not any(status.app == app for status in controller.deployments(NAMESPACE)):
            raise _not_running(app, Builds(database).latest(app=app, limit=1))
    names = operations.running(app, controller) if process is None else (deployment_name(app, process),)
    return Selection(namespace=NAMESPACE, kind="Deployment", names=names, container=container, every=every)


def _not_running(app: str, last: Sequence[Build]) -> NotFound:
    """Of an app whose first release failed, or that has none yet."""
    if not last:
        hint = f"imageforge deploy PATH --name {app}"
        return NotFound("not-running", app, "the app is not running: nothing was built of it yet", hint=hint)
    (build,) = last
    message = f"the app is not running; its last build is {build.id} ({build.status.value})"
    return NotFound("not-running", app, message, hint=f"imageforge builds log {build.id}")


def object_selection(
    word: str, namespace: str | None, *kinds: str, container: str = "", every: bool = False
) -> Selection:
    """Those of an object. Raises UsageError (`unknown-kind`, `name-missing`, `wrong-kind`)."""
    target = only(parse_target(word), *kinds)
    return Selection(
        namespace=namespace or DEFAULT, kind=target.kind, names=(target.name,), container=container, every=every
    )


def refuse_with_app(app: str, **options: object) -> None:
    """Raise UsageError (`not-of-an-app`) where an option is given that says something of objects alone."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(
                "not-of-an-app", app, f"--{name} is for KIND/NAME", hint=f"deployment/{app}, or leave --{name} out"
            )


def refuse_with_object(word: str, process: str | None) -> None:
    """Raise UsageError (`not-of-an-object`) where an option is given that says something of apps alone."""
    if process is not None:
        raise UsageError("not-of-an-object", word, "--process is for an app", hint="leave it out, or name the app")

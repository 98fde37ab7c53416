"""imageforge apps: list, show, delete."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from imageforge.cli.output import Format, FormatOption, document, say, show
from imageforge.cli.state import Workplace, app_named, confirm
from imageforge.cli.status import app_row
from imageforge.pipeline.app_lock import deploying
from imageforge.pipeline.deploy import NAMESPACE
from imageforge.stack.state import running_supervisor
from imageforge.store import Apps, Releases
from runtime import ControllerClient, NotFound

app = typer.Typer(no_args_is_help=True, help="The apps of this instance.")


@app.command("ls")
def list_apps(form: FormatOption = Format.TABLE) -> None:
    """List the apps."""
    here = Workplace.here()
    running = _running(here)
    with here.database() as database:
        rows = [
            {"app": known.name, "replicas": known.replicas, **running.get(known.name, {"state": "not running"})}
            for known in Apps(database).all()
        ]
    show(
        rows,
        columns=("app", "release", "ready", "state", "url"),
        form=form,
        empty="no apps yet: imageforge deploy PATH",
    )


@app.command("show")
def show_app(name: Annotated[str, typer.Argument(help="The app.")], form: FormatOption = Format.YAML) -> None:
    """Show one app."""
    here = Workplace.here()
    with here.database() as database:
        known = app_named(database, name)
        live = Releases(database).live(name)
    value = {
        "app": known.name,
        "scaled_to": known.replicas,
        "image": live.reference if live else None,
        **_running(here).get(name, {"state": "not running"}),
    }
    document(value, form if form is Format.JSON else Format.YAML)


@app.command("delete")
def delete_app(
    name: Annotated[str, typer.Argument(help="The app.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop an app and forget its releases."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database:
        app_named(database, name)
        count = len(Releases(database).of(name))
        confirm(f"delete {name} with its {count} releases?", yes=yes)
        with deploying(here.home, name, "a deletion"):
            for kind in ("Service", "Deployment"):
                with contextlib.suppress(NotFound):
                    controller.delete(NAMESPACE, kind, name)
            Apps(database).delete(name)
    say(f"{name} deleted")


def _running(here: Workplace) -> dict[str, dict[str, object]]:
    if not running_supervisor(here.home):
        return {}
    deployments = ControllerClient(here.home.controller_socket).deployments()
    return {deployment.name: app_row(deployment, here) for deployment in deployments}

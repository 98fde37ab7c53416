"""imageforge apps: list, show, delete."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from imageforge.cli.backend import backend
from imageforge.cli.confirm import confirm
from imageforge.cli.output import Format, FormatOption, document, facts, say, show
from imageforge.cli.state import Workplace
from imageforge.cli.status import app_rows
from imageforge.config.names import WEB
from imageforge.pipeline import operations
from imageforge.pipeline.removal import claims_of
from imageforge.report.units import counted
from imageforge.stack.state import running_supervisor
from imageforge.store import Apps, Releases
from runtime import ControllerClient


class OnNewer(StrEnum):
    """The values of --on-newer."""

    FINISH = "finish"
    CANCEL = "cancel"


BranchOption = Annotated[str | None, typer.Option("--branch", help="The one whose pushes deploy.")]
GitUrlOption = Annotated[str | None, typer.Option("--git-url", help="Where webhooks' pushes are fetched from.")]
WatchOption = Annotated[
    list[str] | None, typer.Option("--watch", help="A pattern that a push must touch, such as `api/**`; repeatable.")
]
OnNewerOption = Annotated[OnNewer | None, typer.Option("--on-newer", help="What a newer push does to a running build.")]

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
        known = Apps(database).require(name)
        live = Releases(database).live(name)
    value = {
        "app": known.name,
        "scaled_to": known.replicas if not known.scales else {WEB: known.replicas, **known.scales},
        "image": live.reference if live else None,
        **_running(here).get(name, {"state": "not running"}),
    }
    document(value, form if form is Format.JSON else Format.YAML)


@app.command("create")
def create_app(
    name: Annotated[str, typer.Argument(help="The app.")],
    branch: BranchOption = None,
    git_url: GitUrlOption = None,
    watch: WatchOption = None,
    on_newer: OnNewerOption = None,
) -> None:
    """Make an app before its first push."""
    with backend() as there:
        made = there.create_app(name, _settings(branch, git_url, watch, on_newer))
    say(f"{name} is there; it deploys branch {made['branch']}: imageforge remote add {name}, or webhook show {name}")


@app.command("set")
def configure_app(
    name: Annotated[str, typer.Argument(help="The app.")],
    branch: BranchOption = None,
    git_url: GitUrlOption = None,
    watch: WatchOption = None,
    on_newer: OnNewerOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Change an app's settings; what is not named stays as it is."""
    with backend() as there:
        changed = dict(there.configure(name, _settings(branch, git_url, watch, on_newer)))
    if form in (Format.JSON, Format.YAML):
        document(changed, form)
    else:
        facts(_facts(changed), form)


def _facts(changed: dict[str, Any]) -> dict[str, object]:
    """An app's settings in words; what is not set is left out."""
    found = {
        "app": changed["name"],
        "branch": changed["branch"],
        "git url": changed["git_url"],
        "watched": ", ".join(changed["watch"]),
        "on newer": f"{changed['on_newer']} the running build",
        "priority": changed["priority"],
        "url": changed["url"],
    }
    return {name: value for name, value in found.items() if value}


def _settings(
    branch: str | None, git_url: str | None, watch: list[str] | None, on_newer: OnNewer | None
) -> dict[str, object]:
    given = {"branch": branch, "git_url": git_url, "watch": watch, "on_newer": on_newer.value if on_newer else None}
    return {key: value for key, value in given.items() if value is not None}


@app.command("delete")
def delete_app(
    name: Annotated[str, typer.Argument(help="The app.")],
    volumes: Annotated[bool, typer.Option("--volumes", help="Its claims too, and all that these hold.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop an app and forget its releases and images. What volumes hold stays, unless --volumes says that it goes."""
    here = Workplace.here()
    controller = here.controller()
    with here.database() as database:
        Apps(database).require(name)
        count = len(Releases(database).of(name))
        also = " and all that its volumes hold" if volumes else ""
        confirm(f"delete {name} with its {counted(count, 'release')}{also}", yes=yes)
        operations.delete_app(name, here.home, here.settings, database, controller, volumes=volumes)
        for claim in () if volumes else claims_of(name, controller):
            say(f"persistentvolumeclaim/{claim} stays with what it holds: imageforge delete pvc/{claim} --volumes")
    say(f"{name} deleted")


def _running(here: Workplace) -> dict[str, dict[str, object]]:
    if not running_supervisor(here.home):
        return {}
    deployments = ControllerClient(here.home.controller_socket).deployments()
    return {str(row["app"]): row for row in app_rows(deployments, here)}

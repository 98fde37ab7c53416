"""imageforge delete: take objects away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from imageforge.cli.claims import Volumes, volumes_of
from imageforge.cli.confirm import confirm
from imageforge.cli.files import SpaceOption, read_files
from imageforge.cli.kinds import parse_kind, parse_target, place
from imageforge.cli.objects import objects
from imageforge.cli.output import say, write
from imageforge.errors import DeployFailed, UsageError
from imageforge.pipeline.ownership import refuse_owned_views
from imageforge.report.units import counted
from runtime import NotFound, load_manifests

if TYPE_CHECKING:
    from imageforge.cli.objects import Objects

GONE_SECONDS = 120.0
LOOK_SECONDS = 0.2
DEFAULT = "default"
Key = tuple[str, str, str]


def delete(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KIND NAME…", help="Or KIND/NAME…; or -f with manifests.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option("--filename", "-f", metavar="FILE", help="A file, a folder of them, or -.")
    ] = None,
    namespace: SpaceOption = None,
    volumes: Annotated[bool, typer.Option("--volumes", help="Their claims too, and all that these hold.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    missing: Annotated[bool, typer.Option("--ignore-not-found", help="What is not there is fine.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until what they made is gone.")] = True,
) -> None:
    """Delete objects, and stop what they made. What volumes hold stays, unless --volumes says that it goes."""
    controller = objects()
    wanted = _named(words or [], namespace or DEFAULT) + _in_files(files or [], namespace)
    if not wanted:
        raise UsageError(
            "name-missing", "delete", "nothing is named", hint="imageforge delete deployment/web, or -f FILE"
        )
    views = controller.views()
    there = {(view.kind, view.namespace, view.name) for view in views}
    gone = [key for key in wanted if key not in there]
    if gone and not missing:
        kind, where, name = gone[0]
        raise NotFound("not-found", f"{kind} {where}/{name}", "no such object", hint=f"imageforge get {kind.lower()}")
    found = [key for key in wanted if key in there]
    fate = volumes_of(views, found, volumes=volumes)
    found += fate.also
    refuse_owned_views(view for view in views if (view.kind, view.namespace, view.name) in set(found))
    if found:
        what = " and all that their volumes hold" if volumes else ""
        confirm(f"delete {', '.join(f'{kind.lower()}/{name}' for kind, _, name in found)}{what}", yes=yes)
    for kind, where, name in found:
        controller.delete(where, kind, name, volumes=volumes)
    _tell_volumes(fate)
    if wait:
        _await_gone(controller, found)
    for kind, _, name in found:
        write(f"{kind.lower()}/{name} deleted")


def _named(words: list[str], namespace: str) -> list[Key]:
    if not words:
        return []
    if "/" in words[0]:
        targets = [parse_target(word) for word in words]
    else:
        kind = parse_kind(words[0])
        targets = [parse_target(kind, name) for name in words[1:]]
    return [(target.kind, place(target.kind, namespace), target.name) for target in targets]


def _tell_volumes(fate: Volumes) -> None:
    """What stays, so that nobody takes it for gone, or looks for it."""
    for each in fate.stay:
        why = f"{each.user} uses it" if each.user else "--volumes deletes it too"
        say(f"persistentvolumeclaim/{each.key[2]} stays with what it holds: {why}")
    for _, _, name in fate.kept:
        say(f"what persistentvolumeclaim/{name} held stays, and a claim of this name has it again")


def _in_files(files: list[str], namespace: str | None) -> list[Key]:
    """What a manifest names last goes first: a Service before the Deployment that it leads to."""
    documents = [item for file in read_files(files) for item in load_manifests(file.text, file.source, namespace)]
    return [(item.kind, item.namespace, item.name) for item in reversed(documents)]


def _await_gone(controller: Objects, keys: list[Key]) -> None:
    deadline, told = time.monotonic() + GONE_SECONDS, False
    while left := {(view.kind, view.namespace, view.name) for view in controller.views()}.intersection(keys):
        if not told:
            say(f"waiting until what {counted(len(left), 'object')} made is gone")
            told = True
        if time.monotonic() > deadline:
            kind, where, name = min(left)
            raise DeployFailed(
                "still-there",
                f"{kind} {where}/{name}",
                f"it is not gone after {GONE_SECONDS:.0f} s",
                hint=f"imageforge describe {kind.lower()} {name} -n {where}",
            )
        time.sleep(LOOK_SECONDS)

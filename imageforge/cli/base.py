"""imageforge base: base images where no hub can be reached."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from builders import (
    BuildEvent,
    BuildEventKind,
    BuildRequest,
    build,
    create_base,
    engine_facts,
    find_build_client,
    has_image,
)
from imageforge.cli.output import say, write
from imageforge.cli.state import Workplace
from imageforge.errors import UsageError
from imageforge.stack import engine_choice
from imageforge.stack.bases import DEBIAN, DERIVED, derived_folder, parent_of
from runtime import Label

app = typer.Typer(no_args_is_help=True, help="Base images, bootstrapped from this host's own package mirror.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="debian:bookworm, or python:3.11 on top of it.")] = DEBIAN,
    force: Annotated[bool, typer.Option("--force", help="Make it again where it is already there.")] = False,
) -> None:
    """Make imageforge/NAME in the engine, without any hub."""
    here = Workplace.here()
    here.home.prepare()
    short = name.removeprefix("imageforge/")
    if short not in (DEBIAN, *DERIVED) and not short.startswith("debian:"):
        known = ", ".join((DEBIAN, *DERIVED))
        raise UsageError("no-such-base", name, "it is not a base imageforge can make", hint=f"one of: {known}")
    _create(short, here, force=force)
    write(f"imageforge/{short}")


def _create(short: str, here: Workplace, *, force: bool) -> None:
    endpoint = engine_choice.answering(here.home, here.settings)
    labels = {Label.INSTANCE.value: here.home.instance}
    if not force and has_image(endpoint, f"imageforge/{short}"):
        say(f"imageforge/{short} is there already; --force makes it again")
        return
    if short not in DERIVED:
        create_base(short, endpoint=endpoint, labels=labels, on_line=_tell)
        return
    parent = parent_of(short)
    if not has_image(endpoint, f"imageforge/{parent}"):
        _create(parent, here, force=False)
    folder = derived_folder(short)
    request = BuildRequest(
        context=folder,
        dockerfile=folder / "Dockerfile",
        tag=f"imageforge/{short}",
        build_args={"BASE_IMAGE": f"imageforge/{parent}"},
        labels=labels,
    )
    client = find_build_client(endpoint, engine_facts(endpoint))
    build(request, endpoint=endpoint, client=client, on_event=_tell_event, cancelled=threading.Event())


def _tell(line: str) -> None:
    say(f"  {line}")


def _tell_event(event: BuildEvent) -> None:
    if event.kind is BuildEventKind.STEP_STARTED and event.name.startswith("["):
        _tell(event.name)

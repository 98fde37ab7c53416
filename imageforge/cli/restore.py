"""imageforge restore: bring an empty home back from a backup."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from imageforge.backup import restore as bring_back
from imageforge.cli.output import say
from imageforge.cli.state import Workplace
from imageforge.config import load_settings
from imageforge.stack.up import ensure_up
from imageforge.store import Database, SealedSecrets
from runtime import ControllerClient, RolloutPhase

SERVING_SECONDS = 60.0
"""How long the applications may take to be whole again; their images come from the restored registry."""


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `imageforge backup` wrote.")],
    start: Annotated[bool, typer.Option("--up/--no-up", help="Start the stack afterwards.")] = True,
) -> None:
    """Bring everything back from a backup, and start it.

    That is apps, releases, images and settings, into a home that holds none.
    """
    home = Workplace.here().home
    restored = bring_back(home, file)
    head = restored.head
    made = datetime.fromtimestamp(head.created_at).astimezone().isoformat(" ", "seconds")
    say(f"restore  {restored.images} images, {restored.repositories} repositories, of {made}, instance {head.instance}")
    if not head.keys:
        with Database.at(home.store) as database:
            sealed = SealedSecrets(database).count()
        if sealed:
            say(f"keys     {sealed} secrets are sealed: put their key where it was, {home.key_file}, or set them again")
    if start:
        ensure_up(home, load_settings(home.settings_file), on_line=lambda name: say(f"up       {name}"))
        late = _wait_serving(ControllerClient(home.controller_socket))
        say("serving  every app" if not late else f"starting {', '.join(late)}: `imageforge status` shows how far")


def _wait_serving(controller: ControllerClient) -> list[str]:
    """Wait until what runs is whole, for its images may have to come from the registry; gives what is not yet."""
    deadline = time.monotonic() + SERVING_SECONDS
    while True:
        late = [
            status.name
            for status in controller.deployments()
            if status.phase is not RolloutPhase.COMPLETE or status.observed_generation < status.generation
        ]
        if not late or time.monotonic() > deadline:
            return late
        time.sleep(0.1)

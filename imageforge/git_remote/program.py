"""What a hook does, in the repository that git has it run in."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

from imageforge.config import Home, load_settings
from imageforge.errors import Failure, ForgeError
from imageforge.git_remote.hook import Hook, Push, say
from imageforge.queue.wake import Waker
from imageforge.report.failure import render
from imageforge.stack.process import lives, myself
from imageforge.store import Database

SERVER = "FORGE_SERVER"


def serving() -> dict[str, str]:
    """What tells a hook that git was started by this process, to which it speaks."""
    return {SERVER: json.dumps(myself())}


def server_ended() -> bool:
    """Whether the process is gone that started git, which is told so by `serving`."""
    try:
        server = json.loads(os.environ[SERVER])
    except (KeyError, ValueError):
        return False
    return isinstance(server, dict) and not lives(server)


def run_hook(name: str, *, holder: int, stopping: Callable[[], bool] = lambda: False) -> int:
    """Run one hook on the refs that git names on stdin; gives its exit code. A failure of pre-receive refuses the push.
    `holder` is the pid of git's receive-pack, which lives until post-receive has ended; `stopping` as in `Hook`."""
    home = Home.locate()
    pushes = [Push(*line.split()) for line in sys.stdin.read().splitlines()]
    try:
        opened = Database.at(home.store)
    except ForgeError as error:
        say(render(error))
        return 1
    with opened as database:
        hook = Hook(
            app=os.environ["FORGE_APP"],
            actor=os.environ.get("FORGE_ACTOR", ""),
            home=home,
            settings=load_settings(home.settings_file),
            database=database,
            waker=Waker(home.redis_socket),
            holder=holder,
            stopping=stopping,
        )
        try:
            if name == "pre-receive":
                hook.accept(pushes)
            else:
                hook.follow(pushes)
        except Exception as error:
            if not isinstance(error, Failure):
                raise
            say(render(error))
            return 1
    return 0

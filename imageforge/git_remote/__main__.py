"""The hooks' program: ``python -m imageforge.git_remote pre-receive``; run by git, in the repository."""

from __future__ import annotations

import os
import sys

from imageforge.config import Home, load_settings
from imageforge.errors import Failure
from imageforge.git_remote.hook import Hook, Push, say
from imageforge.queue.wake import Waker
from imageforge.report.failure import render
from imageforge.store import Database


def main() -> int:
    """Run one hook on the refs that git names on stdin. A failure of pre-receive refuses the push."""
    home = Home.locate()
    pushes = [Push(*line.split()) for line in sys.stdin.read().splitlines()]
    with Database.at(home.store) as database:
        hook = Hook(
            app=os.environ["FORGE_APP"],
            actor=os.environ.get("FORGE_ACTOR", ""),
            home=home,
            settings=load_settings(home.settings_file),
            database=database,
            waker=Waker(home.redis_socket),
        )
        try:
            if sys.argv[1] == "pre-receive":
                hook.accept(pushes)
            else:
                hook.follow(pushes)
        except Exception as error:
            if not isinstance(error, Failure):
                raise
            say(render(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""imageforge exec: a command in a container that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli import terminal
from imageforge.cli.state import Workplace
from imageforge.cli.target import (
    ContainerOption,
    ProcessOption,
    SpaceOption,
    app_selection,
    is_object,
    object_selection,
    refuse_with_app,
    refuse_with_object,
)
from imageforge.config.names import WEB

StdinOption = Annotated[bool, typer.Option("--stdin", "-i", help="Give it what comes on stdin.")]
TtyOption = Annotated[bool, typer.Option("--tty", "-t", help="Give it a terminal.")]
CommandArgument = Annotated[list[str], typer.Argument(metavar="CMD…", help="After --: the program and its arguments.")]


def exec(
    word: Annotated[str, typer.Argument(metavar="APP | KIND/NAME", help="An app; or deployment/web, pod/x, job/y.")],
    command: CommandArgument,
    container: ContainerOption = None,
    stdin: StdinOption = False,
    tty: TtyOption = False,
    replica: Annotated[str, typer.Option("--replica", help="In this one; the first that is ready if left out.")] = "",
    namespace: SpaceOption = None,
    process: ProcessOption = None,
) -> None:
    """Run a command in a running replica.

    It has the container's own user and environment. The exit code is the command's. Ctrl-C reaches it; the third one
    leaves it.
    """
    if tty and stdin:
        terminal.require_terminal()
    here = Workplace.here()
    controller = here.controller()
    if is_object(word):
        refuse_with_object(word, process)
        wanted = object_selection(word, namespace, "Deployment", "Pod", "Job", container=container or "")
    else:
        refuse_with_app(word, namespace=namespace)
        wanted = app_selection(word, process or WEB, here, controller, container=container or "")
    with controller.execute(
        wanted, command, replica=replica, stdin=stdin, tty=tty, size=terminal.size() if tty else None
    ) as session:
        code = terminal.join(session, stdin=stdin, terminal=tty)
    raise typer.Exit(code)

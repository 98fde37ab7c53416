"""imageforge rollback: run an earlier release again."""

from __future__ import annotations

from typing import Annotated

import typer

from imageforge.cli.backend import active_server
from imageforge.cli.follow import follow
from imageforge.cli.output import Format, FormatOption


def rollback(
    app: Annotated[str, typer.Argument(help="The app.")],
    number: Annotated[int | None, typer.Argument(metavar="N", help="The release; the one before if left out.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Run an earlier release again.

    Release N becomes the app's newest: same image, same manifests, no build.
    """
    server = active_server()
    if server is not None:
        with server:
            build = server.rollback(app, number)
            follow(build, server.events(build), form)
        return
    from imageforge.cli.rollback_here import rollback_here  # noqa: PLC0415 - a client has no runtime

    rollback_here(app, number, form)

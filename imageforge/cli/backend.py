"""Where a command works: at the server of the active context, or here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imageforge.client import Contexts

if TYPE_CHECKING:
    from imageforge.cli.local import Local
    from imageforge.client.server import Server


def active_server() -> Server | None:
    """The server of the active context, not yet connected to; None: this machine."""
    context = Contexts.of_user().active()
    if context is None:
        return None
    from imageforge.client.server import Server  # noqa: PLC0415 - HTTP takes a tenth of a second to load

    return Server(context.url, context.token)


@contextmanager
def backend() -> Iterator[Server | Local]:
    """The active server, or this home."""
    server = active_server()
    if server is not None:
        with server:
            yield server
        return
    # Only here: a client on macOS or Windows has none of what a home needs.
    from imageforge.cli.local import Local  # noqa: PLC0415
    from imageforge.cli.state import Workplace  # noqa: PLC0415

    here = Workplace.here()
    with here.database() as database:
        yield Local(here, database)

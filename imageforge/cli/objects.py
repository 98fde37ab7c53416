"""Where commands on objects work: at the server of the active context, or here."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from imageforge.cli.backend import active_server
from imageforge.client.objects import ServerObjects

if TYPE_CHECKING:
    from imageforge.cli.objects_here import ObjectsHere
    from runtime import ControllerClient

    Objects = ControllerClient | ServerObjects


def objects() -> ObjectsHere | ServerObjects:
    """The active server, or this home, which must run. Raises StackError (`stack-not-running`)."""
    server = active_server()
    if server is not None:
        there = ServerObjects(server)
        # Its connections end with who asks, which is the command.
        weakref.finalize(there, server.close)
        return there
    # Only here: a client on macOS or Windows has none of what a home needs.
    from imageforge.cli.objects_here import ObjectsHere  # noqa: PLC0415
    from imageforge.cli.state import Workplace  # noqa: PLC0415

    return ObjectsHere(Workplace.here())

"""The API's server: one that ends answers first whoever it has let in."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

LULL_SECONDS = 0.5
"""How long those whose connection was accepted have to ask, once nobody else is let in."""


class Server(uvicorn.Server):
    """uvicorn's, which would close a connection that was accepted a moment ago and has not asked yet."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let nobody in any more, then end as uvicorn does."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(LULL_SECONDS)
        await super().shutdown(sockets)

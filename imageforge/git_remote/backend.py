"""git-http-backend as a subprocess that a request flows into and a response out of (CGI, RFC 3875)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

PIECE = 64 * 1024
LONGEST_HEAD = 64 * 1024
_background: set[asyncio.Task[None]] = set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the backend answers."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


async def converse(program: str, environ: Mapping[str, str], body: AsyncIterator[bytes]) -> Reply:
    """Run the backend on a request's body. A client that goes away stops nothing: what it asked for is carried out to
    its end, and read to its end, so that a hook never writes into a pipe that nobody empties."""
    process = await asyncio.create_subprocess_exec(
        program,
        env=dict(environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_HEAD,
        start_new_session=True,
    )
    _keep(_feed(process, body))
    status, headers = await _head(process)
    return Reply(status=status, headers=headers, body=_rest(process))


async def _feed(process: asyncio.subprocess.Process, body: AsyncIterator[bytes]) -> None:
    assert process.stdin is not None
    # The client went away, or git has heard enough and closed its end.
    with contextlib.suppress(Exception):
        async for piece in body:
            process.stdin.write(piece)
            await process.stdin.drain()
    with contextlib.suppress(OSError):
        process.stdin.close()


async def _head(process: asyncio.subprocess.Process) -> tuple[int, dict[str, str]]:
    assert process.stdout is not None
    status, headers = 200, {}
    while True:
        line = (await process.stdout.readline()).decode("latin-1").rstrip("\r\n")
        if not line:
            break
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    if not headers:
        log.error("git-http-backend ended with %s before it answered", await process.wait())
        return 500, {"Content-Type": "text/plain"}
    return status, headers


async def _rest(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    assert process.stdout is not None
    ended = False
    try:
        while piece := await process.stdout.read(PIECE):
            yield piece
        ended = True
    finally:
        _keep(_drain(process, ended))


async def _drain(process: asyncio.subprocess.Process, ended: bool) -> None:
    assert process.stdout is not None
    while not ended and await process.stdout.read(PIECE):
        pass
    await process.wait()


def _keep(work: object) -> None:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    _background.add(task)  # the loop itself holds tasks weakly
    task.add_done_callback(_background.discard)

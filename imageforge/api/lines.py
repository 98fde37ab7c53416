"""Rows that come as they happen: server-sent events, or one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import iterate_in_threadpool
from fastapi.responses import StreamingResponse

from imageforge.api.problems import TooOften, problem
from imageforge.api.routes.apps import READERS
from imageforge.errors import Failure

Row = Mapping[str, Any]
Rows = Generator[Row | None, None, None]
"""None is a beat: nothing new, and a moment to see whether anybody still reads."""
STREAMS: dict[str, Any] = {kind: {} for kind in ("text/event-stream", "application/x-ndjson")}
BEATS = 10
"""A sign of life to the reader in so many beats, which are a second each."""
_END: Row = {}


async def streamed(request: Request, rows: Rows, *, number: str = "") -> Response:
    """Rows until they end or the reader is gone. An error before the first one is answered as a problem, a later one
    is the last row, of the kind ``error``. `number` is the key of what a reader resumes by."""
    # Each reader has a thread while it waits for the next row, and the other routes need theirs.
    if not READERS.acquire(blocking=False):
        raise TooOften("streams", 10.0)
    READERS.release()
    lines = "ndjson" in request.headers.get("accept", "")
    first = await asyncio.to_thread(next, rows, _END)
    kind = "application/x-ndjson" if lines else "text/event-stream"
    body = _stream(request, rows, first, lines=lines, number=number)
    return StreamingResponse(body, media_type=kind, headers={"Cache-Control": "no-store"})


async def _stream(request: Request, rows: Rows, first: Row | None, *, lines: bool, number: str) -> AsyncIterator[bytes]:
    # Taken here: of a client that is gone before it was answered, the generator never starts, nor ends.
    if not READERS.acquire(blocking=False):
        # There was a place when it was asked for. What ended without a word would look like an end in peace.
        _close(rows)
        yield _written({"kind": "error", "problem": problem(TooOften("streams", 10.0))}, lines=lines, number="")
        return
    try:
        if first is _END:
            return
        if first is not None:
            yield _written(first, lines=lines, number=number)
        beats = 0
        async for row in iterate_in_threadpool(rows):
            if row is not None:
                yield _written(row, lines=lines, number=number)
                continue
            if await request.is_disconnected():
                return  # nothing may happen for days, and who has left would hold a place for as long
            beats += 1
            if beats % BEATS == 0:
                yield b"\n" if lines else b": \r\n\r\n"
    except Exception as error:
        if not isinstance(error, Failure):
            raise
        yield _written({"kind": "error", "problem": problem(error)}, lines=lines, number="")
    finally:
        READERS.release()
        _close(rows)


def _close(rows: Rows) -> None:
    """End them, in a thread: they may have to wait for an answer that is under way."""
    threading.Thread(target=rows.close, name="rows", daemon=True).start()


def _written(row: Row, *, lines: bool, number: str) -> bytes:
    text = json.dumps(row)
    if lines:
        return f"{text}\n".encode()
    return (f"id: {row[number]}\r\n" if number else "").encode() + f"data: {text}\r\n\r\n".encode()

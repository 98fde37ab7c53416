"""Rows that come as they happen, for readers who leave at a bad moment or come when there is no place."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request

from imageforge.api.lines import Rows, streamed
from imageforge.api.routes.apps import READERS

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "method": "POST",
    "path": "/v1/apply",
    "headers": [(b"accept", b"application/x-ndjson")],
}


class Told:
    """Rows, and by which thread they were ended."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.by: threading.Thread | None = None

    def rows(self) -> Rows:
        try:
            yield {"kind": "applied"}
            yield {"kind": "end", "error": None}
        finally:
            self.by = threading.current_thread()
            self.ended.set()


@contextmanager
def places_taken() -> Iterator[None]:
    taken = 0
    while READERS.acquire(blocking=False):
        taken += 1
    try:
        yield
    finally:
        for _ in range(taken):
            READERS.release()


async def answered(told: Told, *, gone: bool, full: bool) -> bytes:
    body = b""

    async def receive() -> dict[str, str]:
        if not gone:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal body
        body += message.get("body", b"")

    response = await streamed(Request(SCOPE, receive), told.rows())
    if full:
        with places_taken():
            await response(SCOPE, receive, send)
    else:
        await response(SCOPE, receive, send)
    return body


def rows_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def test_all_of_them_are_read() -> None:
    told = Told()
    rows = rows_of(asyncio.run(answered(told, gone=False, full=False)))
    assert rows == [{"kind": "applied"}, {"kind": "end", "error": None}]
    assert told.ended.wait(30)


def test_of_a_reader_who_has_left_they_end_in_no_thread_that_answers() -> None:
    told = Told()
    asyncio.run(answered(told, gone=True, full=False))
    gc.collect()
    assert told.ended.wait(30)
    assert told.by is not threading.current_thread()


def test_who_gets_no_place_is_told_so() -> None:
    told = Told()
    (row,) = rows_of(asyncio.run(answered(told, gone=False, full=True)))
    assert (row["kind"], row["problem"]["status"], row["problem"]["code"]) == ("error", 429, "too-many-requests")
    assert told.ended.wait(30)
    assert told.by is not threading.current_thread()

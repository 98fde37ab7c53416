"""Following builds: however many read a build's events, the store is asked once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from imageforge.errors import ForgeError
from imageforge.queue.wake import Waker
from imageforge.store import Build, Builds, Database

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How long a reader waits at most where nobody wakes it: Redis may be away."""
GATHER_SECONDS = 0.1
"""How long a wake-up waits for more: a chatty step tells of itself a thousand times a second."""
LISTEN_AGAIN_SECONDS = 1.0


class Told:
    """One event as it is told. Two hundred readers are told the same, so it is written out once."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.number: int = row["number"]

    @cached_property
    def json(self) -> str:
        """The event as one line."""
        return json.dumps({key: self.row[key] for key in ("number", "at", "stage", "kind", "text", "data")})

    @cached_property
    def sse(self) -> bytes:
        """The event as text/event-stream has it (WHATWG HTML, 9.2); JSON has no line breaks."""
        return f"id: {self.number}\r\nevent: {self.row['kind']}\r\ndata: {self.json}\r\n\r\n".encode()

    @cached_property
    def ndjson(self) -> bytes:
        """The event as a line of a stream."""
        return f"{self.json}\n".encode()


class Feed:
    """One build's events, as far as they were read, and who waits for more."""

    def __init__(self) -> None:
        self.rows: list[Told] = []
        self.build: Build | None = None
        self.changed = asyncio.Condition()
        self.told = asyncio.Event()
        self.readers = 0
        self.task: asyncio.Task[None] | None = None
        self.done = False


class Feeds:
    """The feeds of an instance; lives in the event loop's thread but for its listener."""

    def __init__(self, database: Database, waker: Waker) -> None:
        self._builds = Builds(database)
        self._waker = waker
        self._feeds: dict[int, Feed] = {}
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener = threading.Thread(target=self._listen, name="events", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._loop = asyncio.get_running_loop()
        self._listener.start()

    async def close(self) -> None:
        """Wake nobody any more."""
        self._stopping.set()
        await asyncio.to_thread(self._listener.join)
        for feed in self._feeds.values():
            if feed.task:
                feed.task.cancel()

    async def follow(self, build_id: int, after: int = 0) -> AsyncIterator[Sequence[Told] | Build]:
        """The events with a number above `after` as they come, several at a time, then the build as it ended."""
        feed = self._feeds.setdefault(build_id, Feed())
        feed.readers += 1
        position = 0
        try:
            if feed.task is None:
                feed.task = asyncio.create_task(self._read(build_id, feed))
            while True:
                async with feed.changed:
                    while position >= len(feed.rows) and not feed.done:
                        await feed.changed.wait()
                    rows, done = feed.rows[position:], feed.done
                wanted = [told for told in rows if told.number > after]
                if wanted:
                    yield wanted
                position += len(rows)
                if done and position >= len(feed.rows):
                    if feed.build is not None:
                        yield feed.build
                    return
        finally:
            feed.readers -= 1
            if not feed.readers:
                self._feeds.pop(build_id, None)
                if feed.task:
                    feed.task.cancel()

    async def _read(self, build_id: int, feed: Feed) -> None:
        while True:
            feed.told.clear()
            after = feed.rows[-1].number if feed.rows else 0
            looked = asyncio.get_running_loop().time()
            try:
                build, rows = await asyncio.to_thread(self._look, build_id, after)
            except ForgeError as error:
                log.warning("build %d cannot be read: %s", build_id, error)
                await asyncio.sleep(POLL_SECONDS)
                continue
            async with feed.changed:
                feed.rows.extend(map(Told, rows))
                feed.build = build
                feed.done = build is None or build.status.ended
                feed.changed.notify_all()
            if feed.done:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(feed.told.wait(), POLL_SECONDS)
                # At once after a silence, and not more often than that.
                await asyncio.sleep(max(0.0, looked + GATHER_SECONDS - asyncio.get_running_loop().time()))

    def _look(self, build_id: int, after: int) -> tuple[Build | None, tuple[Mapping[str, Any], ...]]:
        # The build first: events that were stored before its end was are then surely among those read after it.
        return self._builds.find(build_id), self._builds.events(build_id, after=after)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            for build_id in self._waker.heard(self._stopping.is_set):
                if self._loop and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(self._tell, build_id)
            self._stopping.wait(LISTEN_AGAIN_SECONDS)

    def _tell(self, build_id: int) -> None:
        feed = self._feeds.get(build_id)
        if feed:
            feed.told.set()

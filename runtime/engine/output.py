"""What containers write, and which of them end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import docker.errors

from runtime.container import split_timestamp
from runtime.engine.connection import CONNECTION_LOST, Connection, UnlessGone
from runtime.engine_stream import StreamName
from runtime.labels import Label

log = logging.getLogger(__name__)


class Events:
    """A stream of (action, container id); ends when the engine does or when closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[tuple[str, str]]:
        try:
            for event in self._stream:
                yield str(event.get("Action", "")), str((event.get("Actor") or {}).get("ID", ""))
        except (docker.errors.DockerException, ValueError, AttributeError, *CONNECTION_LOST) as error:
            # A stream closed from another thread fails in whichever of these ways its reader happens to be in.
            log.debug("event stream ended", extra={"error": str(error)})

    def close(self) -> None:
        """End the stream, from any thread."""
        self._stream.close()


class Output:
    """Lines of output as (nanoseconds since the epoch, text); ends when the container does, when the engine does, or
    when closed."""

    def __init__(self, frames: Any) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[tuple[int, str]]:
        try:
            yield from _lines(self._frames or ())
        except (docker.errors.DockerException, ValueError, AttributeError, *CONNECTION_LOST) as error:
            log.debug("output ended", extra={"error": str(error)})

    def close(self) -> None:
        """End the stream, from any thread."""
        if self._frames is not None:
            self._frames.close()


class Outputs(Connection):
    """The engine's streams."""

    def tail(self, container_id: str, lines: int) -> tuple[str, ...]:
        """The last lines of its output, both streams."""
        with UnlessGone(), self.translated(container_id[:12]) as api:
            raw = api.logs(container_id, stdout=True, stderr=True, tail=lines)
            return tuple(raw.decode(errors="replace").splitlines()[-lines:])
        return ()

    def output(
        self, container_id: str, stream: StreamName, *, follow: bool, tail: int | None = None, since: int = 0
    ) -> Output:
        """One stream of a container's output, from the second `since` on; with `follow` until the container ends. Empty
        for one that is gone."""
        with UnlessGone(), self.translated(container_id[:12]) as api:
            return Output(
                api.logs(
                    container_id,
                    stdout=stream == "stdout",
                    stderr=stream == "stderr",
                    timestamps=True,
                    stream=True,
                    follow=follow,
                    tail="all" if tail is None else tail,
                    since=since or None,
                )
            )
        return Output(None)

    def events(self, instance: str) -> Events:
        """The ends of the instance's containers, from now on. Each command that a probe runs in one would be three
        events more."""
        wanted = {"type": "container", "event": "die", "label": f"{Label.INSTANCE}={instance}"}
        with self.translated("events") as api:
            stream = api.events(decode=True, filters=wanted)
        return Events(stream)


def _lines(frames: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """The engine parts a line of more than 16 KiB into several frames, each with a time stamp of its own."""
    at = 0
    parts: list[str] = []
    for frame in frames:
        stamp, text = split_timestamp(frame.decode(errors="replace"))
        at = at if parts else stamp
        parts.append(text)
        if text.endswith("\n"):
            yield at, "".join(parts).rstrip("\r\n")
            parts.clear()
    if parts:
        yield at, "".join(parts)

"""The output of containers, merged by time; a follower also hears of those that start later."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from runtime.engine import Engine, Output
from runtime.engine_stream import StreamName
from runtime.errors import EngineError, NotFound
from runtime.model import LogLine
from runtime.selection import Source

log = logging.getLogger(__name__)

STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")
LOOK_SECONDS = 0.5
SECOND = 1_000_000_000

Stream = tuple[str, StreamName]
Stamped = tuple[int, LogLine]


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a stream was read: the time of its last line in nanoseconds, and how many lines have exactly that."""

    at: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class LogReader:
    """Reads for one request. `sources` gives who writes at any moment, None once what they belong to is gone; `over`
    says that none of them will write any more. What was written before `since`, Unix seconds, is left out."""

    engine: Engine
    sources: Callable[[], Sequence[Source] | None]
    over: Callable[[], bool] = _never
    since: float = 0.0

    def past(self, tail: int | None) -> list[LogLine]:
        """What was written so far, by time; of each container the last `tail` lines."""
        return [] if tail == 0 else _merged(self._read(tail).values())

    def previous(self, tail: int | None, subject: str) -> list[LogLine]:
        """The same of the containers before the last restart. Raises NotFound (`no-previous`) where there is none."""
        found = [
            replace(source, container_id=source.previous)
            for source in self.sources() or ()
            if source.previous and self.engine.inspect(source.previous) is not None
        ]
        if not found:
            raise NotFound(
                "no-previous",
                subject,
                "previous terminated container not found: none of its containers was started again",
                hint="without --previous it is the output of those that are there",
            )
        return LogReader(self.engine, lambda: found, since=self.since).past(tail)

    def follow(self, tail: int | None) -> Iterator[LogLine | None]:
        """What was written and what will be, None at least every `LOOK_SECONDS`; ends with what it is of."""
        # A line is read in any case, to know where to go on. The engine counts the lines of both streams together, so
        # one of them may have none: it goes on from now.
        began = time.time_ns()
        read = self._read(None if tail is None else max(tail, 1))
        if tail != 0:
            yield from _merged(read.values())
        seen = {stream: _mark(lines) if lines else _Mark(began) for stream, lines in read.items()}
        with _Followers(self.engine, seen) as followers:
            look_at = 0.0
            # Asked first: who has written last is then among the sources.
            while not (over := self.over()):
                if time.monotonic() >= look_at:
                    sources = self.sources()
                    if sources is None:
                        break
                    followers.add_all(sources)
                    look_at = time.monotonic() + LOOK_SECONDS
                yield followers.next(LOOK_SECONDS)
            if over:
                followers.add_all(self.sources() or ())
            # Those of what is gone have ended, and what they wrote last is being read.
            yield from followers.rest()
            yield from followers.drain()

    def _read(self, tail: int | None) -> dict[Stream, list[Stamped]]:
        out: dict[Stream, list[Stamped]] = {}
        for source in self.sources() or ():
            for stream in STREAMS if source.container_id else ():
                output = self.engine.output(source.container_id, stream, follow=False, tail=tail, since=int(self.since))
                with contextlib.closing(output):
                    out[source.container_id, stream] = [
                        (at, _line(source, stream, at, text)) for at, text in output if at / SECOND >= self.since
                    ]
        return out


def _line(source: Source, stream: StreamName, at: int, text: str) -> LogLine:
    return LogLine(replica=source.name, container=source.container, text=text, stream=stream, at=at / SECOND)


def _mark(lines: Sequence[Stamped]) -> _Mark:
    last = lines[-1][0]
    return _Mark(last, sum(at == last for at, _ in lines))


def _merged(parts: Iterable[list[Stamped]]) -> list[LogLine]:
    return [line for _, line in sorted((item for part in parts for item in part), key=lambda item: item[0])]


class _Followers:
    """One thread a stream, all into one queue."""

    def __init__(self, engine: Engine, seen: dict[Stream, _Mark]) -> None:
        self._engine = engine
        self._seen = seen
        self._queue: queue.Queue[LogLine] = queue.Queue(maxsize=10_000)
        self._outputs: dict[Stream, Output] = {}
        self._pumps: list[threading.Thread] = []
        self._closed = threading.Event()

    def __enter__(self) -> _Followers:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for output in tuple(self._outputs.values()):
            output.close()

    def add_all(self, sources: Iterable[Source]) -> None:
        """Follow those that are not followed already."""
        for source in sources:
            if source.container_id and (source.running or source.ended_at):
                self._add(source)

    def _add(self, source: Source) -> None:
        for stream in STREAMS:
            key = (source.container_id, stream)
            if key in self._outputs:
                continue
            mark = self._seen.get(key, _Mark())
            try:
                output = self._engine.output(source.container_id, stream, follow=True, since=mark.at // SECOND)
            except EngineError as error:
                log.debug("not followed yet", extra={"replica": source.name, "error": str(error)})
                continue
            self._outputs[key] = output
            pump = threading.Thread(target=self._pump, args=(source, stream, output, mark), daemon=True)
            self._pumps.append(pump)
            pump.start()

    def next(self, timeout: float) -> LogLine | None:
        """The next line, or None when there is none for so long."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def rest(self) -> Iterator[LogLine | None]:
        """What comes until each container that was followed has ended and was read to its end."""
        while any(pump.is_alive() for pump in self._pumps):
            yield self.next(LOOK_SECONDS)

    def drain(self) -> Iterator[LogLine]:
        """What is left."""
        while (line := self.next(0.1)) is not None:
            yield line

    def _pump(self, source: Source, stream: StreamName, output: Output, mark: _Mark) -> None:
        silent, same = True, 0
        for at, text in output:
            silent = False
            same += at == mark.at
            if at < mark.at or (at == mark.at and same <= mark.count):
                continue
            line = _line(source, stream, at, text)
            while not self._closed.is_set():
                try:
                    self._queue.put(line, timeout=0.5)
                    break
                except queue.Full:
                    continue
        if silent and source.ended_at is None:
            # The engine follows nothing of a container that is not started yet: it is asked again.
            self._outputs.pop((source.container_id, stream), None)

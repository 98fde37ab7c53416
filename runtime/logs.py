"""The output of a Deployment's replicas or a Job's pods, merged; a follower also hears of those that start later."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.engine import Engine, Output, StreamName
from runtime.errors import EngineError
from runtime.model import LogLine

log = logging.getLogger(__name__)

STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")
LOOK_SECONDS = 0.5

Source = tuple[str, StreamName]


class Writer(Protocol):
    """A replica, or a pod of a Job, as far as its output goes."""

    @property
    def name(self) -> str: ...
    @property
    def container_id(self) -> str: ...
    @property
    def running(self) -> bool: ...
    @property
    def ended_at(self) -> float | None: ...


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class LogReader:
    """Reads for one request. `replicas` gives who writes at any moment, None once what they belong to is gone; `over`
    says that none of them will write any more."""

    engine: Engine
    replicas: Callable[[], Sequence[Writer] | None]
    over: Callable[[], bool] = _never

    def past(self, tail: int | None) -> list[LogLine]:
        """What was written so far, by time; of each replica the last `tail` lines."""
        return [] if tail == 0 else _merged(self._read(tail).values())

    def follow(self, tail: int | None) -> Iterator[LogLine | None]:
        """What was written and what will be, None at least every `LOOK_SECONDS`; ends with the Deployment."""
        # A line is read in any case, to know where to go on. The engine counts the lines of both streams together, so
        # one of them may have none: it goes on from now.
        began = time.time()
        read = self._read(None if tail is None else max(tail, 1))
        if tail != 0:
            yield from _merged(read.values())
        seen = {source: lines[-1].at if lines else began for source, lines in read.items()}
        with _Followers(self.engine, seen) as followers:
            # Asked first: who has written last is then among the replicas.
            while not (over := self.over()) and (replicas := self.replicas()) is not None:
                for replica in replicas:
                    followers.add(replica)
                yield followers.next(LOOK_SECONDS)
            if over:
                for replica in self.replicas() or ():
                    followers.add(replica)
                yield from followers.rest()
            yield from followers.drain()

    def _read(self, tail: int | None) -> dict[Source, list[LogLine]]:
        out: dict[Source, list[LogLine]] = {}
        for replica in self.replicas() or ():
            for stream in STREAMS if replica.container_id else ():
                output = self.engine.output(replica.container_id, stream, follow=False, tail=tail)
                with contextlib.closing(output):
                    out[replica.container_id, stream] = [
                        LogLine(replica=replica.name, text=text, stream=stream, at=at) for at, text in output
                    ]
        return out


def _merged(parts: Iterable[list[LogLine]]) -> list[LogLine]:
    return sorted((line for part in parts for line in part), key=lambda line: line.at)


class _Followers:
    """One thread a stream, all into one queue."""

    def __init__(self, engine: Engine, seen: dict[Source, float]) -> None:
        self._engine = engine
        self._seen = seen
        self._queue: queue.Queue[LogLine] = queue.Queue(maxsize=10_000)
        self._outputs: dict[Source, Output] = {}
        self._pumps: list[threading.Thread] = []
        self._closed = threading.Event()

    def __enter__(self) -> _Followers:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for output in tuple(self._outputs.values()):
            output.close()

    def add(self, replica: Writer) -> None:
        """Follow a replica's container, unless it is followed already."""
        if not replica.container_id or not (replica.running or replica.ended_at):
            return
        for stream in STREAMS:
            source = (replica.container_id, stream)
            if source in self._outputs:
                continue
            try:
                output = self._engine.output(
                    replica.container_id, stream, follow=True, since=self._seen.get(source, 0.0)
                )
            except EngineError as error:
                log.debug("not followed yet", extra={"replica": replica.name, "error": str(error)})
                continue
            self._outputs[source] = output
            ended = replica.ended_at is not None
            pump = threading.Thread(target=self._pump, args=(replica.name, source, output, ended), daemon=True)
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

    def _pump(self, replica: str, source: Source, output: Output, ended: bool) -> None:
        after, silent = self._seen.get(source, 0.0), True
        for at, text in output:
            silent = False
            line = LogLine(replica=replica, text=text, stream=source[1], at=at)
            while at > after and not self._closed.is_set():
                try:
                    self._queue.put(line, timeout=0.5)
                    break
                except queue.Full:
                    continue
        if silent and not ended:
            # The engine follows nothing of a container that is not started yet: it is asked again.
            self._outputs.pop(source, None)

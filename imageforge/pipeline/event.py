"""A build is one ordered list of events. The terminal, a stored log, an API and a git remote are readers of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class EventKind(StrEnum):
    """What an event tells."""

    STAGE_STARTED = "stage-started"
    STAGE_FINISHED = "stage-finished"
    STAGE_FAILED = "stage-failed"
    FINDING = "finding"
    STEP = "step"
    LINE = "line"
    NOTE = "note"
    PROGRESS = "progress"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event. Numbers count from 1 within a build; `at` is Unix seconds; `data` is JSON."""

    number: int
    at: float
    stage: str
    kind: EventKind
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


class EventSink(Protocol):
    """Where events are kept; rows are the events as plain dictionaries."""

    def __call__(self, rows: list[dict[str, Any]]) -> None: ...


class StageLog:
    """What a stage writes to: its events, and the one line that sums it up."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder = recorder
        self.name = name
        self.summary = ""
        self.data: dict[str, Any] = {}

    def emit(self, kind: EventKind, text: str = "", **data: Any) -> None:
        """Record an event of this stage."""
        self._recorder.emit(self.name, kind, text, **data)


FLUSH_SECONDS = 0.5
"""How long an event may wait before it is stored: a reader of the stored log lags at most so much."""


class Recorder:
    """Numbers the events, tells the listeners at once and the sink in chunks.

    A progress event is told and not stored: it is replaced by the next one, and says nothing afterwards.
    """

    def __init__(self, listeners: tuple[Callable[[Event], None], ...] = (), sink: EventSink | None = None) -> None:
        self._listeners = listeners
        self._sink = sink
        self._number = 0
        self._pending: list[dict[str, Any]] = []
        self._flushed_at = time.monotonic()

    def emit(self, stage: str, kind: EventKind, text: str = "", **data: Any) -> None:
        """Record one event."""
        self._number += 1
        event = Event(number=self._number, at=time.time(), stage=stage, kind=kind, text=text, data=data)
        for listener in self._listeners:
            listener(event)
        if kind is EventKind.PROGRESS:
            return
        self._pending.append(
            {"number": event.number, "at": event.at, "stage": stage, "kind": kind.value, "text": text, "data": data}
        )
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand what is pending to the sink."""
        rows, self._pending = self._pending, []
        self._flushed_at = time.monotonic()
        if self._sink and rows:
            self._sink(rows)

    @contextmanager
    def stage(self, name: str) -> Iterator[StageLog]:
        """One stage: its start, its end with the seconds it took and its summary, or its failure."""
        log = StageLog(self, name)
        started = time.monotonic()
        self.emit(name, EventKind.STAGE_STARTED)
        try:
            yield log
        except BaseException as error:
            seconds = time.monotonic() - started
            # An interrupt has no text of its own.
            self.emit(name, EventKind.STAGE_FAILED, str(error) or "interrupted", seconds=seconds, **log.data)
            self.flush()
            raise
        seconds = time.monotonic() - started
        self.emit(name, EventKind.STAGE_FINISHED, log.summary, seconds=seconds, **log.data)
        self.flush()

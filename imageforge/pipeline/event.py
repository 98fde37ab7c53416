"""A build is one ordered list of events. The terminal, a stored log, an API and a git remote are readers of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from imageforge.errors import ForgeError
from imageforge.pipeline.uninterrupted import uninterrupted
from imageforge.vault import Mask


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


def event_from(row: Mapping[str, Any]) -> Event:
    """An event as it was stored or sent."""
    values = {key: row[key] for key in ("number", "at", "stage", "text", "data")}
    return Event(kind=EventKind(row["kind"]), **values)


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

    @property
    def mask(self) -> Mask:
        """What its events do not show."""
        return self._recorder.mask

    def emit(self, kind: EventKind, text: str = "", **data: Any) -> None:
        """Record an event of this stage."""
        self._recorder.emit(self.name, kind, text, **data)


FLUSH_SECONDS = 0.2
"""How long an event may wait before it is stored: a reader of the stored log lags at most so much."""


class Recorder:
    """Numbers the events, tells the listeners at once and the sink in chunks. `number` is that of the last event that
    is already stored; `mask` hides secrets from all of them. Close it when the run is over.

    A progress event is told and not stored: it is replaced by the next one, and says nothing afterwards.
    """

    def __init__(
        self,
        listeners: tuple[Callable[[Event], None], ...] = (),
        sink: EventSink | None = None,
        number: int = 0,
        mask: Mask | None = None,
    ) -> None:
        self.mask = mask or Mask(())
        self._listeners = list(listeners)
        self._sink = sink
        self._number = number
        self._pending: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._storing = threading.Lock()
        self._filled = threading.Event()
        self._ended = threading.Event()
        self._flusher = threading.Thread(target=self._flush_late, name="recorder", daemon=True)
        if sink:
            self._flusher.start()

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Tell one more."""
        self._listeners.append(listener)

    def emit(self, stage: str, kind: EventKind, text: str = "", **data: Any) -> None:
        """Record one event."""
        text, data = self.mask.text(text), self.mask.data(data)
        with self._lock:
            self._number += 1
            event = Event(number=self._number, at=time.time(), stage=stage, kind=kind, text=text, data=data)
            if kind is not EventKind.PROGRESS:
                self._pending.append(
                    {"number": event.number, "at": event.at, "stage": stage, "kind": kind, "text": text, "data": data}
                )
        for listener in self._listeners:
            listener(event)
        self._filled.set()

    def flush(self) -> None:
        """Hand what is pending to the sink. Raises what the sink raises, and keeps what it did not take."""
        # Stored and still pending would be stored twice, which the store refuses.
        with uninterrupted(), self._storing:
            with self._lock:
                rows = list(self._pending)
            if self._sink and rows:
                self._sink(rows)
            with self._lock:
                del self._pending[: len(rows)]

    def close(self) -> None:
        """Store the rest; nothing is recorded afterwards."""
        self._ended.set()
        self._filled.set()
        if self._flusher.is_alive():
            self._flusher.join()
        self.flush()

    def _flush_late(self) -> None:
        """Store what waits, though no further event comes: a step that is silent for a minute has said something
        before."""
        while not self._ended.is_set():
            self._filled.wait()
            self._filled.clear()
            self._ended.wait(FLUSH_SECONDS)
            # The store is asked again with the next event, and by the stage that ends, where a failure is told.
            with contextlib.suppress(ForgeError):
                self.flush()

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

"""BuildKit's plain progress, line by line, as events. Pure.

The format (BuildKit util/progress/progressui/printer.go): ``#7 [2/5] RUN make`` opens a vertex or comes back to it,
``#7 0.412 text`` is a line of its output after so many seconds, and ``#7 CACHED``, ``#7 DONE 1.2s``, ``#7 ERROR: …``
and ``#7 CANCELED`` end it. Transfers report as ``#7 sha256:… 1.2MB / 3.4MB``. What fits nothing is kept for the error.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from builders.model import BuildEvent, BuildEventKind

KEPT_LINES = 50
_VERTEX = re.compile(r"#(\d+) (.*)")
_DONE = re.compile(r"DONE (\d+(?:\.\d+)?)s")
_TIMED = re.compile(r"\d+\.\d+ ?(.*)")
_TRANSFER = re.compile(
    r"(sha256:[0-9a-f]{64}|transferring |resolve |extracting |exporting |writing |naming |preparing )"
)


@dataclass(slots=True)
class Step:
    """A vertex as it was seen so far."""

    number: int
    name: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    ended: bool = False
    error: str = ""


class ProgressReader:
    """Feed it lines; it gives events, and keeps what an error message will need."""

    def __init__(self) -> None:
        self.steps: dict[int, Step] = {}
        self.rest: deque[str] = deque(maxlen=KEPT_LINES)

    def feed(self, line: str) -> Iterator[BuildEvent]:
        """The events of one line, without its line end."""
        match = _VERTEX.fullmatch(line)
        if match is None:
            if line.strip():
                self.rest.append(line)
            return
        number, text = int(match[1]), match[2]
        step = self.steps.get(number)
        if step is None:
            step = self.steps[number] = Step(number, name=text)
            yield BuildEvent(kind=BuildEventKind.STEP_STARTED, step=number, name=text)
            return
        yield from self._continue(step, text)

    @property
    def failed(self) -> Step | None:
        """The step whose failure is to be told: one with output of its own rather than one that failed with it."""
        failed = [step for step in self.steps.values() if step.error]
        return next((step for step in failed if step.name.startswith("[")), failed[0] if failed else None)

    def _continue(self, step: Step, text: str) -> Iterator[BuildEvent]:
        done = _DONE.fullmatch(text)
        if text == "CACHED":
            yield from self._end(step, BuildEventKind.STEP_CACHED)
        elif done:
            yield from self._end(step, BuildEventKind.STEP_FINISHED, float(done[1]))
        elif text.startswith("ERROR"):
            step.error = text.removeprefix("ERROR").removeprefix(":").strip()
            yield from self._end(step, BuildEventKind.STEP_FAILED)
        elif text == "CANCELED":
            step.ended = True
        elif text != step.name and not text.startswith("..."):
            yield from self._output(step, text)

    def _output(self, step: Step, text: str) -> Iterator[BuildEvent]:
        timed = _TIMED.fullmatch(text)
        line = timed[1] if timed else text
        if timed is None and _TRANSFER.match(text):
            return
        step.lines.append(line)
        yield BuildEvent(kind=BuildEventKind.STEP_OUTPUT, step=step.number, name=step.name, text=line)

    def _end(self, step: Step, kind: BuildEventKind, seconds: float | None = None) -> Iterator[BuildEvent]:
        # A vertex that several stages share is reported done more than once.
        if step.ended:
            return
        step.ended = True
        yield BuildEvent(kind=kind, step=step.number, name=step.name, seconds=seconds)


class LineSplitter:
    """Bytes in any pieces in, whole lines out; what is not UTF-8 is shown as replacement characters."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that are complete now."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            yield _text(line)

    def rest(self) -> Iterator[str]:
        """What was left without a line end."""
        if self._pending:
            yield _text(self._pending)
            self._pending = b""


def _text(line: bytes) -> str:
    """A line without its end; a carriage return inside it overwrites what came before, as on a terminal."""
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]

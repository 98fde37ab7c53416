"""A run's events as lines: live on a terminal, plain elsewhere. Terminal, API and git remote show the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from imageforge.pipeline.event import Event, EventKind
from imageforge.report.units import megabytes, seconds

NAME_WIDTH = 9
TIME_COLUMN = 88
"""Where the seconds of a stage end, on lines that are shorter."""
FAILED_STEP_LINES = 15
STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan", "style": "dim"}


class Progress:
    """Prints events as they come to `stream` (stderr where none is given); `everything` shows remarks too, `lines` what
    the steps wrote, `quiet` nothing at all. Close it when the run is over."""

    def __init__(
        self, *, stream: TextIO | None = None, everything: bool = False, lines: bool = False, quiet: bool = False
    ) -> None:
        self._console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._everything = everything
        self._lines = lines
        self._quiet = quiet
        self._status: Status | None = None
        self._sent: dict[str, int] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._settle()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if self._quiet:
            return
        handlers: dict[EventKind, Callable[[Event], None]] = {
            EventKind.STAGE_STARTED: self._started,
            EventKind.STAGE_FINISHED: self._finished,
            EventKind.STAGE_FAILED: self._failed,
            EventKind.FINDING: self._finding,
            EventKind.STEP: self._step,
            EventKind.LINE: self._line,
            EventKind.NOTE: self._note,
            EventKind.PROGRESS: self._progress,
        }
        handler = handlers.get(event.kind)
        if handler:
            handler(event)

    def _started(self, event: Event) -> None:
        self._busy(event.stage, "…")

    def _finished(self, event: Event) -> None:
        self._settle()
        self._console.print(_stage_line(event, str(event.data.get("failed") or "") not in ("", "0")))

    def _failed(self, event: Event) -> None:
        self._settle()
        self._console.print(_row(event.stage, "failed", event.data.get("seconds"), style="bold red"))

    def _finding(self, event: Event) -> None:
        data = event.data
        severity = str(data["severity"])
        if severity in ("info", "style") and not self._everything:
            return
        self._settle()
        word = "waived" if data.get("waived") else severity
        # Of an image no line is told.
        place = f"{data['file']}:{data['line']}:{data['column']}" if data["line"] else str(data["file"])
        line = Text(f"  {place} ")
        line.append(word, style=STYLES.get(word, "dim"))
        line.append(f" {data['rule']} ", style="bold")
        line.append(event.text)
        self._console.print(line)
        if data.get("excerpt"):
            excerpt = str(data["excerpt"]).rstrip()
            self._console.print(Text(f"    {excerpt}", style="dim"))
            end = data.get("end_column") or (len(excerpt) + 1)
            start = int(data["column"])
            if severity == "error" and end > start and data["line"]:
                self._console.print(Text(" " * (3 + start) + "^" * (end - start), style="red"))
        if data.get("fix"):
            self._console.print(Text(f"    fix: {data['fix']}", style="green"))

    def _step(self, event: Event) -> None:
        state = event.data.get("state")
        if state == "step-started":
            self._busy(event.stage, event.text)
        elif state in ("step-finished", "step-cached", "step-failed"):
            self._settle()
            took = "cached" if state == "step-cached" else None if state == "step-finished" else "failed"
            duration = event.data.get("seconds")
            self._console.print(
                _row("", event.text, duration if took is None else None, note=took, style="dim"),
            )

    def _line(self, event: Event) -> None:
        # What a release command writes is few lines, and they tell what was done to the app's data.
        released = event.stage == "release"
        if self._lines or released or event.data.get("failed"):
            self._settle()
            who = "release" if released else event.data.get("replica") or f"#{event.data.get('step', '')}"
            self._console.print(Text(f"  {who} | {event.text}", style="dim"))

    def _note(self, event: Event) -> None:
        self._settle()
        self._console.print(Text(f"  note: {event.text}", style="cyan"))

    def _progress(self, event: Event) -> None:
        if event.stage == "push":
            self._sent[event.text] = int(event.data.get("sent", 0))
            self._busy(event.stage, f"{megabytes(sum(self._sent.values()))} sent")
        else:
            self._busy(event.stage, event.text)

    def _busy(self, stage: str, text: str) -> None:
        """The one line that moves, on a terminal only."""
        if not self._console.is_terminal:
            return
        line = Text(f"{stage:<{NAME_WIDTH}}{text}", overflow="ellipsis", no_wrap=True)
        if self._status is None:
            self._status = self._console.status(line, spinner="dots")
            self._status.start()
        else:
            self._status.update(line)

    def _settle(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def _stage_line(event: Event, bad: bool) -> Text:
    return _row(event.stage, event.text, event.data.get("seconds"), style="bold red" if bad else "bold green")


def _row(name: str, text: str, duration: Any, *, note: str | None = None, style: str = "") -> Text:
    line = Text(f"{name:<{NAME_WIDTH}}", style=style)
    line.append(text, style="" if name else style)
    end = seconds(float(duration)) if duration is not None else note or ""
    if end:
        line.append(" " * max(2, TIME_COLUMN - len(line.plain) - len(end)))
        line.append(end, style="dim")
    return line

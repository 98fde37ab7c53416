"""What a release command writes is told once and without secrets, however often its output is read."""

from __future__ import annotations

from typing import Any

from imageforge.pipeline.event import Event, EventKind, Recorder
from imageforge.pipeline.release_command import _Lines
from imageforge.vault import Mask
from runtime import LogLine


def line(at: float, text: str, stream: str = "stdout") -> LogLine:
    return LogLine(replica="shop-release-1-x", text=text, stream=stream, at=at)


def told(lines: list[LogLine], mask: Mask, before: set[tuple[str, float]]) -> list[dict[str, Any]]:
    events: list[Event] = []
    recorder = Recorder(listeners=(events.append,), mask=mask)
    with recorder.stage("release") as log:
        printer = _Lines(log, mask, before)
        for one in lines:
            printer.tell(one)
        printer.close()
    return [{"text": event.text, **event.data} for event in events if event.kind is EventKind.LINE]


def test_a_line_is_told_once() -> None:
    lines = [line(1.0, "a"), line(2.0, "b", "stderr"), line(3.0, "a")]
    first = told(lines, Mask(()), set())
    assert [row["text"] for row in first] == ["a", "b", "a"]
    again = told([*lines, *lines], Mask(()), {(row["stream"], row["at"]) for row in first[:2]})
    assert [(row["text"], row["at"]) for row in again] == [("a", 3.0)]


def test_a_secret_in_pieces_is_hidden_and_each_line_keeps_its_time() -> None:
    lines = [
        line(1.0, "a"),
        line(2.0, "token hunter2-"),
        line(2.5, "between", "stderr"),
        line(3.0, "correct-horse end"),
    ]
    rows = told(lines, Mask(("hunter2-correct-horse",)), set())
    text = {row["at"]: row["text"] for row in rows}
    assert sorted(text) == [1.0, 2.0, 2.5, 3.0]
    assert "hunter2" not in str(rows)
    assert "correct-horse" not in str(rows)
    assert (text[1.0], text[2.5]) == ("a", "between")

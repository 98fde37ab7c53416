"""BuildKit's plain progress, read as it comes.

Grammar, as printed by `docker build --progress=plain` of 20.10 and by buildx (``util/progress/progressui`` in
moby/buildkit): every line of a step begins with ``#N``; then a title, ``CACHED``, ``DONE 0.3s``, ``ERROR: …``,
``CANCELED``, ``...`` (the printer turns to another step), a digest, the state of a transfer, or a time and a line that
the step wrote. What has no number is the summary of a failure.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from builders.model import BuildEvent, BuildEventKind

TAIL_LINES = 15
_LONGEST_LINE = 64 * 1024  # characters; what goes on is dropped, so that a binary on stdout costs no memory
_LINE = re.compile(r"#(?P<step>\d+) (?P<rest>.*)", re.DOTALL)
_OUTPUT = re.compile(r"(?P<at>\d+\.\d+) ?(?P<text>.*)", re.DOTALL)
_DONE = re.compile(r"DONE (?P<seconds>\d+(?:\.\d+)?)s")
_UNFINISHED_LINE = re.compile(r"(?P<text>.*)#(?P<step>\d+) (?P<end>DONE \d+(?:\.\d+)?s|CANCELED|ERROR: .*)", re.DOTALL)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TRANSFER = re.compile(
    r"(transferring|sha256:|resolve |extracting|exporting|writing|naming|unpacking|sending|preparing|pushing|"
    r"importing|inspecting)\b"
)


@dataclass(kw_only=True, slots=True)
class Step:
    """What is known of one step: its title, the last lines it wrote, and how it failed, if it did."""

    number: int
    name: str
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    error: str | None = None
    cached: bool = False
    ended: bool = False


class ProgressParser:
    """Bytes in, events out. `steps` and `summary` (the lines without a number) stay for whoever explains a failure."""

    def __init__(self) -> None:
        self.steps: dict[int, Step] = {}
        self.summary: list[str] = []
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._overlong = False

    def feed(self, chunk: bytes) -> Iterator[BuildEvent]:
        """The events in `chunk`, which may begin and end anywhere, within a character too."""
        lines = (self._rest + self._decoder.decode(chunk)).split("\n")
        self._rest = lines.pop()
        for line in lines:
            if self._overlong:
                self._overlong = False
                continue
            yield from self._read(line.rstrip("\r"))
        if len(self._rest) > _LONGEST_LINE:
            if not self._overlong:
                yield from self._read(self._rest[:_LONGEST_LINE] + " …")
            self._overlong = True
            self._rest = ""

    def finish(self) -> Iterator[BuildEvent]:
        """The events in a last line that has no end."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        if rest and not self._overlong:
            yield from self._read(rest)

    @property
    def failed(self) -> Step | None:
        """The step that failed: the last one with an error, since others are cancelled because of it."""
        return next((step for step in reversed(self.steps.values()) if step.error is not None), None)

    def _read(self, line: str) -> Iterator[BuildEvent]:
        match = _LINE.fullmatch(line)
        if match is None:
            if line.strip():
                self.summary.append(line)
                del self.summary[:-200]
            return
        number, rest = int(match["step"]), match["rest"]
        step = self.steps.get(number)
        if step is None:
            self.steps[number] = step = Step(number=number, name=rest)
            yield BuildEvent(kind=BuildEventKind.STEP_STARTED, step=number, name=rest)
        elif rest not in (step.name, "..."):
            yield from self._continue(step, rest)

    def _continue(self, step: Step, rest: str) -> Iterator[BuildEvent]:
        output = _OUTPUT.fullmatch(rest)
        if output is not None:
            yield from self._output(step, output["text"])
        elif rest == "CACHED" and not step.ended:
            step.cached = step.ended = True
            yield _event(BuildEventKind.STEP_CACHED, step)
        elif done := _DONE.fullmatch(rest):
            if not step.ended:
                step.ended = True
                yield _event(BuildEventKind.STEP_FINISHED, step, seconds=float(done["seconds"]))
        elif rest.startswith("ERROR: "):
            step.error, step.ended = rest.removeprefix("ERROR: "), True
            yield _event(BuildEventKind.STEP_FAILED, step, text=step.error)
        elif rest != "CANCELED" and not _DIGEST.fullmatch(rest) and not _TRANSFER.match(rest):
            step.tail.append(rest)
            yield _event(BuildEventKind.STEP_OUTPUT, step, text=rest)

    def _output(self, step: Step, text: str) -> Iterator[BuildEvent]:
        """A line that the step wrote. One without an end has the step's own end glued to it."""
        glued = _UNFINISHED_LINE.fullmatch(text)
        if glued is not None and int(glued["step"]) == step.number:
            text, end = glued["text"], glued["end"]
        else:
            end = ""
        # A program that draws a progress bar goes back to the line's start again and again; the last state counts.
        text = text.rstrip("\r").rpartition("\r")[2]
        step.tail.append(text)
        yield _event(BuildEventKind.STEP_OUTPUT, step, text=text)
        if end:
            yield from self._continue(step, end)


def _event(kind: BuildEventKind, step: Step, *, text: str = "", seconds: float | None = None) -> BuildEvent:
    return BuildEvent(kind=kind, step=step.number, name=step.name, text=text, seconds=seconds)

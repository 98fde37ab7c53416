"""Findings for people: place, words, the line with what is meant underlined, and the fix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linters.check import Outcome
from linters.dockerfile import printable
from linters.errors import LintError
from linters.model import Finding, LintReport, Severity
from linters.reporters.summary import summary, total

_COLOURS = {Severity.ERROR: "1;31", Severity.WARNING: "33", Severity.INFO: "36", Severity.STYLE: "2"}
_BAD, _GOOD, _DIM, _BOLD, _NOTE, _FIX = "1;31", "1;32", "2", "1", "36", "32"
_NAME = f"{'lint':<9}"
_WIDEST = 160
_DEEPEST = 10
_NARROWEST = 40
"""Columns below which nothing is folded further."""


def table(outcomes: Sequence[Outcome], *, colour: bool, width: int | None = None) -> str:
    """All files, each with a line at its end that sums it up, and one for several together. Where a `width` is given,
    words are folded and code is cut there."""
    paint = _Paint(colour)
    lines: list[str] = []
    for one in outcomes:
        lines += _failed(one, paint, width) if isinstance(one, LintError) else _file(one, paint, width)
    if len(outcomes) > 1:
        sound = all(isinstance(one, LintReport) and not one.count(Severity.ERROR) for one in outcomes)
        lines.append(paint(_GOOD if sound else _BAD, _NAME) + total(outcomes))
    return "\n".join(lines)


class _Paint:
    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text


def _file(report: LintReport, paint: _Paint, width: int | None) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding(finding, paint, width)
    for note in report.notes:
        yield from (paint(_NOTE, line) for line in _folded("  note: ", printable(note), width))
    yield paint(_BAD if report.count(Severity.ERROR) else _GOOD, _NAME) + summary(report)


def _folded(lead: str, text: str, width: int | None) -> list[str]:
    """`lead` and `text`; what does not fit stands below it, indented further than a finding."""
    if width is None or len(lead) + len(text) <= width:
        return [lead + text]
    import textwrap  # noqa: PLC0415 - for a terminal that is narrower than what is said

    deeper = " " * (len(lead) if len(lead) <= _DEEPEST else 6)
    room = max(width, _NARROWEST)
    if len(lead) > room - _NARROWEST // 2:
        return [lead.rstrip(), *textwrap.wrap(text, room, initial_indent=deeper, subsequent_indent=deeper)]
    lines = textwrap.wrap(
        text,
        room,
        initial_indent="\0" * len(lead),
        subsequent_indent=deeper,
        break_long_words=False,
        break_on_hyphens=False,
    )
    first = lines[0].lstrip("\0")
    return [lead + first, *lines[1:]]


def _finding(finding: Finding, paint: _Paint, width: int | None) -> Iterator[str]:
    file = printable(finding.file)  # a name may hold a line's end, and what a terminal obeys
    place = f"{file}:{finding.line}:{finding.column}" if finding.line else file
    name = f" ({finding.alias})" if finding.alias else ""
    lead = f"  {place} {finding.severity.value} {finding.rule} "
    first, *rest = _folded(lead, f"{finding.message}{name}", width)
    severity = paint(_COLOURS[finding.severity], finding.severity.value)
    yield f"  {place} {severity} {paint(_BOLD, finding.rule)}{first[len(lead) - 1 :]}"
    yield from rest
    if finding.excerpt:
        yield from _excerpt(finding, paint, _WIDEST if width is None else max(width, _NARROWEST) - 4)
    if finding.fix:
        yield from (paint(_FIX, line) for line in _folded("    fix: ", finding.fix, width))


def _excerpt(finding: Finding, paint: _Paint, widest: int) -> Iterator[str]:
    """The line, and below it a mark under what is meant; of a long line the part around it."""
    excerpt = finding.excerpt.rstrip()
    first = finding.column - 1
    cut = min(first - widest // 2, max(0, len(excerpt) - widest)) if first > widest * 3 // 4 else 0
    shown = excerpt[cut : cut + widest]
    # Behind blanks too a line that begins so is a command to GitHub's runner.
    guard = "\u200b" if shown.lstrip().startswith("::") else ""
    yield paint(_DIM, f"    {guard}{shown}")
    if finding.end_column is None:
        return
    ends_here = finding.end_line in (None, finding.line)
    last = min(finding.end_column - 1 if ends_here else len(excerpt), cut + len(shown))
    if last > first:
        lead = "".join("\t" if char == "\t" else " " * _width(char) for char in shown[: first - cut])
        mark = "^" * sum(_width(char) for char in excerpt[first:last])
        yield f"    {lead}{paint('31', mark)}"


def _width(char: str) -> int:
    """Columns of a terminal that a character takes."""
    if char.isascii():
        return 1
    import unicodedata  # noqa: PLC0415 - a megabyte, and of no use to a file in ASCII

    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _failed(error: LintError, paint: _Paint, width: int | None) -> Iterator[str]:
    subject = printable(error.subject)
    yield f"  {paint(_BAD, f'error[{error.code}]')}: {subject}: {error.message}"
    if error.hint:
        yield from (paint(_FIX, line) for line in _folded("    hint: ", error.hint, width))
    yield f"{paint(_BAD, _NAME)}{subject}: not checked"

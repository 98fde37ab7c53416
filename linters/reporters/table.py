"""Findings for people: place, words, the line with what is meant underlined, and the fix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linters.check import Outcome
from linters.dockerfile import printable
from linters.errors import LintError
from linters.model import Finding, LintReport, Severity
from linters.reporters.summary import summary

_COLOURS = {Severity.ERROR: "1;31", Severity.WARNING: "33", Severity.INFO: "36", Severity.STYLE: "2"}
_BAD, _GOOD, _DIM, _BOLD, _NOTE, _FIX = "1;31", "1;32", "2", "1", "36", "32"
_NAME = f"{'lint':<9}"
_WIDEST = 160


def table(outcomes: Iterable[Outcome], *, colour: bool) -> str:
    """All files, each with a line at its end that sums it up."""
    paint = _Paint(colour)
    lines: list[str] = []
    for one in outcomes:
        lines += _failed(one, paint) if isinstance(one, LintError) else _file(one, paint)
    return "\n".join(lines)


class _Paint:
    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and text else text


def _file(report: LintReport, paint: _Paint) -> Iterator[str]:
    for finding in report.findings:
        yield from _finding(finding, paint)
    for note in report.notes:
        yield paint(_NOTE, f"  note: {printable(note)}")
    yield paint(_BAD if report.count(Severity.ERROR) else _GOOD, _NAME) + summary(report)


def _finding(finding: Finding, paint: _Paint) -> Iterator[str]:
    file = printable(finding.file)  # a name may hold a line's end, and what a terminal obeys
    place = f"{file}:{finding.line}:{finding.column}" if finding.line else file
    severity = paint(_COLOURS[finding.severity], finding.severity.value)
    name = f" ({finding.alias})" if finding.alias else ""
    yield f"  {place} {severity} {paint(_BOLD, finding.rule)} {finding.message}{name}"
    if finding.excerpt:
        yield from _excerpt(finding, paint)
    if finding.fix:
        yield paint(_FIX, f"    fix: {finding.fix}")


def _excerpt(finding: Finding, paint: _Paint) -> Iterator[str]:
    """The line, and below it a mark under what is meant; of a long line the part around it."""
    excerpt = finding.excerpt.rstrip()
    first = finding.column - 1
    cut = first - _WIDEST // 2 if first > _WIDEST * 3 // 4 else 0
    shown = excerpt[cut : cut + _WIDEST]
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


def _failed(error: LintError, paint: _Paint) -> Iterator[str]:
    yield f"  {paint(_BAD, f'error[{error.code}]')}: {printable(error.subject)}: {error.message}"
    if error.hint:
        yield paint(_FIX, f"    hint: {error.hint}")
    yield f"{paint(_BAD, _NAME)}{printable(error.subject)}: not checked"

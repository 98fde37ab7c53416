"""IF017: an empty line inside a continued instruction."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Span
from linters.model import Edit, Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    dockerfile = subject.dockerfile
    for instruction in dockerfile.instructions:
        logical = instruction.logical
        if logical.end_line == logical.line:
            continue
        empty = [number for number in range(logical.line + 1, logical.end_line) if not dockerfile.line(number).strip()]
        if empty:
            above = max(piece.line for piece in logical.pieces if piece.line < empty[0])
            end = len(dockerfile.line(above).rstrip())
            yield Hit(
                span=Span(line=above, column=end, end_line=above, end_column=end + 1),
                message=f"{instruction.keyword} goes on behind the empty line below, which will be an error",
                fix="remove the empty line, or the backslash above it",
                edits=tuple(
                    Edit(start=dockerfile.offset(number, 1), end=dockerfile.offset(number + 1, 1), text="")
                    for number in empty
                ),
                safe=True,
            )


RULE = Rule(
    id="IF017",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="A continued instruction has no empty lines",
    check=_check,
    alias="NoEmptyContinuation",
)

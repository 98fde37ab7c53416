"""IF001: an ignore comment without a rule, a reason or an instruction below it."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Span
from linters.ignores import Ignore, ignores
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_FORM = "# imageforge ignore=IF101 reason=why it is right here"


def _check(subject: Subject) -> Iterator[Hit]:
    for ignore in ignores(subject.dockerfile):
        fault = _fault(ignore)
        if fault:
            comment = ignore.comment
            width = len(subject.dockerfile.line(comment.line).rstrip())
            where = Span(line=comment.line, column=comment.column, end_line=comment.line, end_column=width + 1)
            yield Hit(span=where, message=f"{fault}, so it silences nothing", fix=f"write {_FORM}")


def _fault(ignore: Ignore) -> str | None:
    if not ignore.rules:
        return "this ignore comment names no rule"
    if not ignore.reason:
        return "this ignore comment gives no reason"
    if not ignore.first:
        return "this ignore comment stands above no instruction"
    return None


RULE = Rule(
    id="IF001",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="An ignore comment names a rule and a reason",
    check=_check,
)

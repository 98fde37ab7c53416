"""IF001: an ignore comment without a rule, a reason or an instruction below it."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Span
from linters.ignores import Ignore, Scope, ignores
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_FORMS = {
    "imageforge": "# imageforge ignore=IF101 reason=why it is right here",
    "hadolint": "# hadolint ignore=DL3008 # why it is right here",
    "check": "# check=skip=UndefinedVar # why it is right here",
}
_MISPLACED = {
    Scope.LINE: "this ignore comment stands above no instruction",
    Scope.STAGE: "this ignore comment is for a stage and stands above no FROM",
    Scope.GLOBAL: "this ignore comment is for no file",
}


def _check(subject: Subject) -> Iterator[Hit]:
    for ignore in ignores(subject.dockerfile):
        fault = _fault(ignore, strict=subject.policy.strict)
        if fault:
            comment = ignore.comment
            width = len(subject.dockerfile.line(comment.line).rstrip())
            where = Span(line=comment.line, column=comment.column, end_line=comment.line, end_column=width + 1)
            yield Hit(span=where, message=f"{fault}, so it silences nothing", fix=f"write {_FORMS[ignore.tool]}")


def _fault(ignore: Ignore, *, strict: bool) -> str | None:
    if not ignore.rules:
        # A pragma of hadolint's that it does not understand itself has its reason in front of the wrong reader.
        return "this ignore comment names no rule"
    if not ignore.first:
        return _MISPLACED[ignore.scope]
    if not ignore.complete(strict=strict):
        return "this ignore comment gives no reason"
    return None


RULE = Rule(
    id="IF001",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="An ignore comment names a rule and a reason",
    check=_check,
)

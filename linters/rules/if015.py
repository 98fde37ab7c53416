"""IF015: an AS that is written otherwise than its FROM."""

from __future__ import annotations

from collections.abc import Iterator

from linters.edits import replaced
from linters.instructions import written
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    for stage in subject.plan.stages:
        keyword = written(stage.start)
        if len(stage.start.words) < 3 or not (keyword.islower() or keyword.isupper()):
            continue
        word = stage.start.words[1]
        wanted = "as" if keyword.islower() else "AS"
        if word.text != wanted:
            yield Hit(
                span=stage.start.span(word.start, word.end),
                message=f"`{word.text}` is written otherwise than `{keyword}`",
                fix=f"write {wanted}",
                edits=replaced(subject.dockerfile, stage.start, word.start, word.end, wanted),
                safe=True,
            )


RULE = Rule(
    id="IF015",
    severity=Severity.STYLE,
    principle=Principle.GENERAL,
    title="AS is written as FROM is",
    check=_check,
    alias="FromAsCasing",
)

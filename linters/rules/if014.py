"""IF014: a stage's name with capitals."""

from __future__ import annotations

from collections.abc import Iterator

from linters.edits import replaced
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    for stage in subject.plan.stages:
        words = stage.start.words
        if stage.name is None or words[2].text == stage.name:
            continue
        word = words[2]
        yield Hit(
            span=stage.start.span(word.start, word.end),
            message=f"the stage's name {word.text} has capitals, which do not count in names",
            fix=f"write {stage.name}",
            edits=replaced(subject.dockerfile, stage.start, word.start, word.end, stage.name),
            safe=True,
        )


RULE = Rule(
    id="IF014",
    severity=Severity.STYLE,
    principle=Principle.GENERAL,
    title="Names of stages are in small letters",
    check=_check,
    alias="StageNameCasing",
)

"""IF013: a stage with a name that means something else."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_RESERVED = {"scratch": "the empty image", "context": "the build context"}


def _check(subject: Subject) -> Iterator[Hit]:
    for stage in subject.plan.stages:
        if stage.name in _RESERVED:
            word = stage.start.words[2]
            yield Hit(
                span=stage.start.span(word.start, word.end),
                message=f"`{word.text}` is the name of {_RESERVED[stage.name]}",
                fix="give the stage another name",
            )


RULE = Rule(
    id="IF013",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="No stage is called scratch or context",
    check=_check,
    covers=frozenset({"DL3063"}),
    alias="ReservedStageName",
)

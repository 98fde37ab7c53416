"""IF012: two stages of one name."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    lines: dict[str, int] = {}
    for stage in subject.plan.stages:
        if stage.name is None:
            continue
        if stage.name in lines:
            word = stage.start.words[2]
            yield Hit(
                span=stage.start.span(word.start, word.end),
                message=f"line {lines[stage.name]} has a stage {stage.name} already, and the later one is meant",
                fix="give each stage a name of its own",
            )
        lines.setdefault(stage.name, stage.start.line)


RULE = Rule(
    id="IF012",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="Stages have names of their own",
    check=_check,
    covers=frozenset({"DL3024"}),
    alias="DuplicateStageName",
)

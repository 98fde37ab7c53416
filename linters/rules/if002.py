"""IF002: a line that is no instruction, or one that Docker refuses."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    for problem in subject.dockerfile.problems:
        yield Hit(span=problem.span, message=problem.message, fix=problem.hint or "mend the line: a build stops at it")


RULE = Rule(
    id="IF002",
    severity=Severity.ERROR,
    principle=Principle.GENERAL,
    title="Every line is an instruction that Docker takes",
    check=_check,
)

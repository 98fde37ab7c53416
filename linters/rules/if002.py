"""IF002: a line that is no instruction, or one that Docker refuses."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_FEW = 3
"""Lines that are like no instruction that a file may begin with and is still taken for what it is said to be."""


def _check(subject: Subject) -> Iterator[Hit]:
    problems = subject.dockerfile.problems
    if _is_something_else(subject):
        message = f"this is no Dockerfile: {problems[0].message}, and so on in {len(problems) - 1:,} more lines"
        yield Hit(span=problems[0].span, message=message, fix="name the Dockerfile, or the folder that has it")
        return
    for problem in problems:
        yield Hit(span=problem.span, message=problem.message, fix=problem.hint or "mend the line: a build stops at it")


def _is_something_else(subject: Subject) -> bool:
    """Whether the file is of another kind altogether: nobody wants to read of each line of a README that it is none."""
    dockerfile = subject.dockerfile
    if not dockerfile.problems or not dockerfile.problems[0].foreign:
        return False
    first = next((one.line for one in dockerfile.instructions if one.keyword == "FROM"), None)

    def before(line: int) -> bool:
        return first is None or line < first

    foreign = sum(one.foreign and before(one.span.line) for one in dockerfile.problems)
    return foreign > max(_FEW, sum(before(one.line) for one in dockerfile.instructions))


RULE = Rule(
    id="IF002",
    severity=Severity.ERROR,
    principle=Principle.GENERAL,
    title="Every line is an instruction that Docker takes",
    check=_check,
)

"""IF003: MAINTAINER, which is no longer an instruction that anybody reads."""

from __future__ import annotations

from collections.abc import Iterator

from linters.edits import Edits, replaced
from linters.instructions import each, like, written
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import Step

_LABEL = "org.opencontainers.image.authors"


def _check(subject: Subject) -> Iterator[Hit]:
    for step, instruction in each(subject, "MAINTAINER"):
        edits = _edits(subject, step)
        yield Hit(
            span=instruction.span(),
            message="MAINTAINER is deprecated: it is no label, so tools that read labels do not find the author",
            fix=f'write LABEL {_LABEL}="…"',
            edits=edits,
            safe=bool(edits),
        )


def _edits(subject: Subject, step: Step) -> Edits:
    instruction = step.instruction
    name = instruction.arguments
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    if any(char in name for char in f'"$\\{step.escape}'):
        return ()  # a label's value is a word with quotes, escapes and variables of its own
    text = f'{like(written(instruction), "LABEL")} {_LABEL}="{name}"'
    end = instruction.arguments_start + len(instruction.arguments)
    return replaced(subject.dockerfile, instruction, instruction.keyword_start, end, text)


RULE = Rule(
    id="IF003",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="The author is a label",
    check=_check,
    covers=frozenset({"DL4000"}),
    alias="MaintainerDeprecated",
)

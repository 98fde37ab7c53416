"""IF016: instructions in capitals beside others in small letters."""

from __future__ import annotations

from collections.abc import Iterator

from linters.edits import replaced
from linters.instructions import written
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    keywords = [(one, written(one)) for one in subject.dockerfile.instructions]
    small = sum(word.islower() for _, word in keywords)
    large = sum(word.isupper() for _, word in keywords)
    for instruction, word in keywords:
        wanted = word.lower() if small > large else word.upper()
        if word != wanted:
            yield Hit(
                span=instruction.span(),
                message=f"`{word}` is written otherwise than most instructions of the file",
                fix=f"write {wanted}",
                edits=replaced(
                    subject.dockerfile, instruction, instruction.keyword_start, instruction.keyword_end, wanted
                ),
                safe=True,
            )


RULE = Rule(
    id="IF016",
    severity=Severity.STYLE,
    principle=Principle.GENERAL,
    title="Instructions are all written alike",
    check=_check,
    alias="ConsistentInstructionCasing",
)

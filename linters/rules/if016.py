"""IF016: instructions in capitals beside others in small letters."""

from __future__ import annotations

from collections.abc import Iterator

from linters.edits import replaced
from linters.instructions import written
from linters.model import Principle, Severity
from linters.rule import Hit, Option, Rule, Subject

_THE_OTHERS = {
    "most": "most instructions of the file",
    "upper": "the project's instructions",
    "lower": "the project's instructions",
}


def _check(subject: Subject) -> Iterator[Hit]:
    keywords = [(one, written(one)) for one in subject.dockerfile.instructions]
    case = subject.policy.text("IF016", "case", "most")
    small = sum(word.islower() for _, word in keywords)
    large = sum(word.isupper() for _, word in keywords)
    lower = case == "lower" or (case == "most" and small > large)
    for instruction, word in keywords:
        wanted = word.lower() if lower else word.upper()
        if word != wanted:
            yield Hit(
                span=instruction.span(),
                message=f"`{word}` is written otherwise than {_THE_OTHERS[case]}",
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
    options=(Option(name="case", default="most", help="how they are written", choices=tuple(_THE_OTHERS)),),
)

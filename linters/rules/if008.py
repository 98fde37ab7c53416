"""IF008: two instructions of a stage of which only the last one counts."""

from __future__ import annotations

from collections.abc import Iterator

from linters.edits import removed
from linters.instructions import built
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_ONCE = ("CMD", "ENTRYPOINT", "HEALTHCHECK")


def _check(subject: Subject) -> Iterator[Hit]:
    for stage in built(subject):
        for keyword in _ONCE:
            found = [step.instruction for step in stage.steps if step.instruction.keyword == keyword]
            for instruction in found[:-1]:
                yield Hit(
                    span=instruction.span(),
                    message=f"this {keyword} counts for nothing: line {found[-1].line} of the same stage replaces it",
                    fix=f"keep one {keyword} a stage; a container runs one process",
                    edits=removed(subject.dockerfile, instruction),
                )


RULE = Rule(
    id="IF008",
    severity=Severity.WARNING,
    principle=Principle.ONE_PROCESS,
    title="A stage has one CMD, one ENTRYPOINT and one HEALTHCHECK",
    check=_check,
    covers=frozenset({"DL4003", "DL4004", "DL3012"}),
    alias="MultipleInstructionsDisallowed",
)

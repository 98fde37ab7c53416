"""IF018: ENV and LABEL in the old form, a blank between name and value."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.dockerfile import Instruction
from linters.dockerfile.words import split_quoted
from linters.edits import Edits, inserted, replaced
from linters.instructions import each
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import Step

_SPACED = re.compile(r"[^\"'\\`]+$")


def _check(subject: Subject) -> Iterator[Hit]:
    for step, instruction in each(subject, "ENV", "LABEL"):
        words = instruction.words
        if len(words) < 2 or "=" in words[0].text or len(instruction.assignments) != 1:
            continue
        edits = _edits(subject, step, instruction)
        yield Hit(
            span=instruction.span(words[0].start, words[-1].end),
            message=f"{instruction.keyword} without `=` takes all of the line for the value of {words[0].text}",
            fix=f'write {instruction.keyword} {words[0].text}="…"',
            edits=edits,
            safe=bool(edits),
        )


def _edits(subject: Subject, step: Step, instruction: Instruction) -> Edits:
    """The same value behind a `=`, in quotes where it has blanks; none where it has quotes or escapes of its own."""
    words = instruction.words
    end = instruction.arguments_start + len(instruction.arguments)
    value = instruction.logical.text[words[1].start : end]
    # One word, in quotes or not, means the same in either form.
    quote = "" if len(split_quoted(value, 0, step.escape)) == 1 else '"'
    if step.escape != "\\" or (quote and not _SPACED.match(value)):
        return ()
    first = replaced(subject.dockerfile, instruction, words[0].end, words[1].start, f"={quote}")
    last = inserted(subject.dockerfile, instruction, end, quote) if quote else ()
    return (*first, *last) if first else ()


RULE = Rule(
    id="IF018",
    severity=Severity.STYLE,
    principle=Principle.GENERAL,
    title="ENV and LABEL have an equals sign",
    check=_check,
    alias="LegacyKeyValueFormat",
)

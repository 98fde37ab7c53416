"""IF009: a variable in FROM that no ARG above it declares."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.dockerfile import Instruction
from linters.instructions import built
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import PREDEFINED
from linters.suggest import nearest
from linters.variables import Reference, references

GIVEN = PREDEFINED | {"TARGETSTAGE"}
"""What BuildKit sets without any ARG."""
_NO_IMAGE = re.compile(r"$|[:@/]|.*[:@/]$|.*(?://|:@|::)")


def declared(subject: Subject) -> dict[str, Instruction]:
    """The arguments above the first FROM, which are those that a FROM can use."""
    found: dict[str, Instruction] = {}
    for instruction in subject.dockerfile.instructions:
        if instruction.keyword == "FROM":
            break
        if instruction.keyword == "ARG":
            found |= {pair.name: instruction for pair in instruction.assignments}
    return found


def no_image(text: str) -> bool:
    """Whether a text cannot be the name of an image."""
    return bool(_NO_IMAGE.match(text))


def _check(subject: Subject) -> Iterator[Hit]:
    known = declared(subject)
    for stage in built(subject):
        instruction = stage.start
        word = instruction.words[0]
        for reference in references(word.text, escape=subject.dockerfile.escape):
            if reference.name not in known and reference.name not in GIVEN:
                yield _hit(subject, instruction, reference, word.start, list(known))
        platform = instruction.flag("platform")
        for reference in references((platform.value or "") if platform else "", escape=subject.dockerfile.escape):
            if platform is not None and reference.name not in known and reference.name not in GIVEN:
                yield _undeclared(subject, instruction, reference, (platform.start, platform.end), list(known))


def _hit(subject: Subject, instruction: Instruction, reference: Reference, at: int, known: list[str]) -> Hit:
    where = (at + reference.start, at + reference.end)
    return _undeclared(subject, instruction, reference, where, known, word=instruction.words[0].text)


def _undeclared(
    subject: Subject,
    instruction: Instruction,
    reference: Reference,
    where: tuple[int, int],
    known: list[str],
    *,
    word: str = "",
) -> Hit:
    name = reference.name
    meant = nearest(name, known)
    below = any(
        one.keyword == "ARG" and any(pair.name == name for pair in one.assignments)
        for one in subject.dockerfile.instructions
    )
    if below:
        fix = f"move ARG {name} above the first FROM: those below belong to their stage"
    else:
        fix = f"write ${meant}" if meant else f"declare it by ARG {name}=… above the first FROM"
    # Without it the word is what is around it: a build stops where that names no image, whatever it is given.
    broken = bool(word) and not reference.optional and no_image(_without(word, name))
    end = "and what is left names no image" if broken else "and so it is empty, whatever --build-arg says"
    return Hit(
        span=instruction.span(*where),
        message=f"${name} is not declared above the first FROM, {end}",
        fix=fix,
        severity=Severity.ERROR if broken else Severity.WARNING,
    )


def _without(word: str, name: str) -> str:
    """The word with this variable empty and others as something."""
    text = re.sub(rf"\$(?:\{{{name}\}}|{name}\b)", "", word)
    return re.sub(r"\$(?:\{[^}]*\}|\w+)", "x", text)


RULE = Rule(
    id="IF009",
    severity=Severity.ERROR,
    principle=Principle.GENERAL,
    title="FROM uses arguments that are declared above it",
    check=_check,
    alias="UndefinedArgInFrom",
)

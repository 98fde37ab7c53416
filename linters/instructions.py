"""Walks over instructions as rules on single ones need them: what an ONBUILD holds is one too."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Instruction
from linters.rule import Subject
from linters.stages import Stage, Step


def each(subject: Subject, *keywords: str) -> Iterator[tuple[Step, Instruction]]:
    """The instructions of these keywords in the stages that are built, with the step that each is or stands in."""
    for step in subject.plan.reachable_steps():
        instruction = step.instruction.trigger or step.instruction
        if instruction.keyword in keywords:
            yield step, instruction


def built(subject: Subject) -> Iterator[Stage]:
    """The stages that are built, in file order."""
    for stage in subject.plan.stages:
        if stage.index in subject.plan.reachable:
            yield stage


def like(sample: str, word: str) -> str:
    """`word` in the case of `sample`: small letters where all of it are."""
    return word.lower() if sample.islower() else word.upper()


def written(instruction: Instruction) -> str:
    """The keyword as it stands in the file."""
    return instruction.logical.text[instruction.keyword_start : instruction.keyword_end]

"""Changes of a file's text, made from places of an instruction or of a shell script in it.

Each returns the edits, or nothing where the change cannot be made without touching what stands in between: a comment
inside a continued instruction must not be lost.
"""

from __future__ import annotations

from linters.dockerfile import Dockerfile, Instruction
from linters.model import Edit
from linters.scripts import Script

Edits = tuple[Edit, ...]


def replaced(dockerfile: Dockerfile, instruction: Instruction, start: int, end: int, text: str) -> Edits:
    """The characters `start` up to `end` of the logical line become `text`, lines between them included."""
    if start >= end:
        return inserted(dockerfile, instruction, start, text)
    span = instruction.span(start, end)
    first, last = dockerfile.stretch(span)
    return () if _comment_between(dockerfile, span.line, span.end_line) else (Edit(start=first, end=last, text=text),)


def inserted(dockerfile: Dockerfile, instruction: Instruction, behind: int, text: str) -> Edits:
    """`text` goes right behind the character before `behind` of the logical line."""
    line, column = instruction.logical.locate(max(0, behind - 1))
    place = dockerfile.offset(line, column + (1 if behind else 0))
    return (Edit(start=place, end=place, text=text),)


def removed(dockerfile: Dockerfile, instruction: Instruction) -> Edits:
    """The instruction goes with all its lines; comments above it stay."""
    first = dockerfile.offset(instruction.line, 1)
    last = dockerfile.offset(instruction.end_line + 1, 1)
    if not instruction.heredocs and _comment_between(dockerfile, instruction.line, instruction.end_line):
        return ()
    return (Edit(start=first, end=last, text=""),)


def in_script(dockerfile: Dockerfile, script: Script, start: int, end: int, text: str) -> Edits:
    """The characters `start` up to `end` of a script become `text`, which goes in behind `start` where both are one."""
    instruction = script.step.instruction
    if script.body_line is not None:
        line, column = script.locate(start)
        place = dockerfile.offset(line, column)
        return (Edit(start=place, end=place + end - start, text=text),)
    if (
        script.shift is None
        or not script.shell
        or (instruction.exec_form is not None and any(char in text for char in '"\\\n'))
    ):
        return ()
    return replaced(dockerfile, instruction, start + script.shift, end + script.shift, text)


def _comment_between(dockerfile: Dockerfile, first: int, last: int) -> bool:
    """Whether one of the lines behind `first` up to `last` is a comment."""
    return any(line.lstrip().startswith("#") for line in dockerfile.lines[first:last])

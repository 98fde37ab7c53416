"""IF005: a WORKDIR that hangs on the base image's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.edits import inserted
from linters.instructions import built
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import Stage, Step

_DRIVE = re.compile(r"[A-Za-z]:")


def _check(subject: Subject) -> Iterator[Hit]:
    for stage in built(subject):
        first = next((step for step in stage.steps if step.instruction.keyword == "WORKDIR"), None)
        if first is None or _placed_before(subject, stage) or not _relative(first):
            continue
        instruction = first.instruction
        start = instruction.arguments_start
        yield Hit(
            span=instruction.span(start, start + len(instruction.arguments)),
            message=f"WORKDIR {instruction.arguments} lies below whatever folder the base image has set",
            fix=f"write WORKDIR /{instruction.arguments.strip(chr(34)).removeprefix('./')}",
            edits=inserted(subject.dockerfile, instruction, start, "/")
            if instruction.arguments[0] not in "\"'."
            else (),
        )


def _placed_before(subject: Subject, stage: Stage) -> bool:
    """Whether a stage that this one is built on has set a folder; what the base image has set may change."""
    while stage.parent is not None:
        stage = subject.plan.stages[stage.parent]
        if any(step.instruction.keyword == "WORKDIR" for step in stage.steps):
            return True
    return stage.base is not None and stage.base.lower() == "scratch"


def _relative(step: Step) -> bool:
    raw = step.instruction.arguments
    path = step.expand(raw)
    if step.escape == "`" or "\\" in raw or _DRIVE.match(raw.strip("\"'")):
        return False
    if path is None:
        return raw[0] not in "$\"'/"
    return bool(path) and not path.startswith("/")


RULE = Rule(
    id="IF005",
    severity=Severity.WARNING,
    principle=Principle.GENERAL,
    title="WORKDIR is absolute",
    check=_check,
    covers=frozenset({"DL3000"}),
    alias="WorkdirRelativePath",
)

"""IF011: files taken from a stage that is not there, or from the stage itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.edits import Edits, replaced
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import Step, mount_options
from linters.suggest import nearest

_NAME = re.compile(r"[a-z][a-z0-9_.-]*$", re.IGNORECASE)


def _check(subject: Subject) -> Iterator[Hit]:
    for step in subject.plan.reachable_steps("COPY", "RUN"):
        for flag in step.instruction.flags:
            value = flag.value or ""
            source = value if flag.name == "from" else mount_options(value).get("from", "") if "from" in value else ""
            if not source or "$" in source:
                continue
            hit = _source(subject, step, source, (flag.start, flag.end))
            if hit is not None:
                yield hit


def _source(subject: Subject, step: Step, source: str, where: tuple[int, int]) -> Hit | None:
    stages = subject.plan.stages
    named = subject.plan.stage_named(source)
    span = step.instruction.span(*where)
    if source.isdecimal() and int(source[:9]) >= len(stages):
        return Hit(
            span=span,
            message=f"there is no stage {source}: the file has {len(stages)}, counted from 0; a build stops here",
            fix="name the stage by AS, and take from the name",
        )
    if named is not None and named.index == step.stage:
        if sum(stage.name == source.lower() for stage in stages) > 1:
            return None
        return Hit(
            span=span,
            message=f"stage {source} takes files from itself, which it cannot; a build stops here",
            fix="leave --from out, or name another stage",
        )
    if named is None and _NAME.match(source):
        names = [stage.name for stage in stages if stage.name]
        meant = nearest(source, names)
        if meant is not None:
            return _misspelt(subject, step, source, meant, where)
    return None


def _misspelt(subject: Subject, step: Step, source: str, meant: str, where: tuple[int, int]) -> Hit:
    instruction = step.instruction
    at = instruction.logical.text.find(f"from={source}", where[0], where[1])
    edits: Edits = ()
    if at >= 0:
        start = at + len("from=")
        edits = replaced(subject.dockerfile, instruction, start, start + len(source), meant)
    return Hit(
        span=instruction.span(*where),
        message=f"there is no stage `{source}`, so an image of this name is looked for; there is {meant}",
        fix=f"write {meant}",
        severity=Severity.WARNING,
        edits=edits,
    )


RULE = Rule(
    id="IF011",
    severity=Severity.ERROR,
    principle=Principle.GENERAL,
    title="Files come from a stage that there is",
    check=_check,
    covers=frozenset({"DL3022", "DL3023"}),
)

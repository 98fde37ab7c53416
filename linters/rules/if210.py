"""IF210: a default password, or an ARG through which a secret gets into the image's history."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.dockerfile import Assignment
from linters.image.secrets import default_secrets
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.rules.if209 import run_follows, written
from linters.secret_text import is_literal, is_secret_name
from linters.stages import Step


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    for step in (*plan.reachable_steps("ENV", "ARG"), *plan.triggers("ENV", "ARG")):
        for pair in step.instruction.assignments:
            if is_secret_name(pair.name) and written(subject, step, pair) is None:
                yield from _pair(subject, step, pair)


def _pair(subject: Subject, step: Step, pair: Assignment) -> Iterator[Hit]:
    keyword = step.instruction.keyword
    value = (pair.value or "").strip("\"'")
    where = step.instruction.span(pair.start, pair.end)
    if is_literal(value):
        if keyword == "ENV" or run_follows(subject, step):
            yield Hit(
                span=where,
                message=f"{keyword} {pair.name} gives every container of this image the same secret",
                fix=f"leave {pair.name} out of the file and give it when the container starts",
                secrets=(f"{pair.name}={pair.value}", *((value,) if len(value) >= _LONG_ENOUGH else ())),
            )
    elif keyword == "ARG" and pair.value is None and _is_used(subject, step, pair.name):
        yield Hit(
            span=where,
            message=f"the value of ARG {pair.name} stays in the image's history, behind each RUN that sees it",
            fix=f"RUN --mount=type=secret,id={pair.name.lower()} lends a file to one RUN",
        )


_LONG_ENOUGH = 8
"""Characters of a value that can be masked wherever it stands without hiding ordinary words."""


def _is_used(subject: Subject, step: Step, name: str) -> bool:
    """Whether a RUN behind the ARG names it."""
    use = re.compile(rf"\$(?:{re.escape(name)}\b|\{{{re.escape(name)}\b)")
    for later in subject.plan.stages[step.stage].steps:
        instruction = later.instruction
        if instruction.keyword == "RUN" and instruction.line > step.instruction.line:
            texts = (instruction.logical.text, *(heredoc.body for heredoc in instruction.heredocs))
            if any(use.search(text) for text in texts):
                return True
    return False


RULE = Rule(
    id="IF210",
    severity=Severity.WARNING,
    principle=Principle.IMMUTABLE,
    title="A password is neither a default nor an ARG",
    check=_check,
    image=default_secrets,
    covers=frozenset({"DL3064"}),
)

"""IF210: a default password, or an ARG through which a secret gets into the image's history."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.dockerfile import Assignment
from linters.model import Principle, Severity
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.rules.if209 import run_follows, written
from linters.secret_text import is_literal, is_secret_name
from linters.stages import Step

if TYPE_CHECKING:
    from linters.image.evidence import Evidence


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    used = _Used(subject)
    for step in (*plan.reachable_steps("ENV", "ARG"), *plan.triggers("ENV", "ARG")):
        for pair in step.instruction.assignments:
            if is_secret_name(pair.name) and written(subject, step, pair) is None:
                yield from _pair(subject, step, pair, used)


def _pair(subject: Subject, step: Step, pair: Assignment, used: _Used) -> Iterator[Hit]:
    keyword = step.instruction.keyword
    value = (pair.value or "").strip("\"'")
    where = step.instruction.span(pair.start, pair.end)
    if is_literal(value):
        if keyword == "ENV" or run_follows(subject, step):
            yield Hit(
                span=where,
                message=f"{keyword} {pair.name} gives every container of this image the same secret",
                fix=f"leave {pair.name} out of the file and give it when the container starts",
                secrets=(
                    f"{pair.name}={pair.value}",
                    _written(step, pair),
                    *((value,) if len(value) >= _LONG_ENOUGH else ()),
                ),
            )
    elif keyword == "ARG" and pair.value is None and used.behind(step, pair.name):
        yield Hit(
            span=where,
            message=f"the value of ARG {pair.name} stays in the image's history, behind each RUN that sees it",
            fix=f"RUN --mount=type=secret,id={pair.name.lower()} lends a file to one RUN",
        )


_USE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_LONG_ENOUGH = 8
"""Characters of a value that can be masked wherever it stands without hiding ordinary words."""


def _written(step: Step, pair: Assignment) -> str:
    """The pair as it stands there: a blank may be in the place of the equals sign."""
    return step.instruction.logical.text[pair.start : pair.end]


class _Used:
    """Which variables the RUN instructions name, read once."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._last: dict[int, dict[str, int]] = {}

    def behind(self, step: Step, name: str) -> bool:
        """Whether a RUN of the stage behind the step names the variable."""
        if step.stage not in self._last:
            self._last[step.stage] = self._read(step.stage)
        return self._last[step.stage].get(name, 0) > step.instruction.line

    def _read(self, stage: int) -> dict[str, int]:
        last: dict[str, int] = {}
        for step in self._subject.plan.stages[stage].steps:
            instruction = step.instruction
            if instruction.keyword == "RUN":
                for text in (instruction.logical.text, *(heredoc.body for heredoc in instruction.heredocs)):
                    last |= dict.fromkeys(_USE.findall(text), instruction.line)
        return last


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.secrets import default_secrets  # noqa: PLC0415 - who judges a file has no use for it

    return default_secrets(evidence)


RULE = Rule(
    id="IF210",
    severity=Severity.WARNING,
    principle=Principle.IMMUTABLE,
    title="A password is neither a default nor an ARG",
    check=_check,
    image=_image,
    covers=frozenset({"DL3064"}),
)

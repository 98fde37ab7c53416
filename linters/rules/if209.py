"""IF209: a secret is written into the Dockerfile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.dockerfile import Assignment, Span
from linters.model import Principle, Severity
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.secret_text import known_token, known_tokens, looks_secret
from linters.stages import Step

if TYPE_CHECKING:
    from linters.image.evidence import Evidence

_FIX = "give it when the container starts, or to one RUN by --mount=type=secret"


def _check(subject: Subject) -> Iterator[Hit]:
    plan = subject.plan
    for step in (*plan.reachable_steps("ENV", "ARG"), *plan.triggers("ENV", "ARG")):
        for pair in step.instruction.assignments:
            hit = written(subject, step, pair)
            if hit is not None:
                yield hit
    keywords = ("RUN", "LABEL", "CMD", "ENTRYPOINT", "COPY", "ADD")
    for step in (*plan.reachable_steps(*keywords), *plan.triggers(*keywords)):
        yield from _tokens(step)


def _tokens(step: Step) -> Iterator[Hit]:
    instruction = step.instruction
    message = f"{instruction.keyword} holds what looks like a real secret, for all who have the image"
    for match in known_tokens(instruction.logical.text):
        where = instruction.span(match.start(), match.end())
        yield Hit(span=where, message=message, fix=_FIX, secrets=(match.group(),))
    for heredoc in instruction.heredocs:
        for match in known_tokens(heredoc.body):
            line = heredoc.body_line + heredoc.body.count("\n", 0, match.start())
            column = match.start() - heredoc.body.rfind("\n", 0, match.start())
            first = match.group().partition("\n")[0]
            where = Span(line=line, column=column, end_line=line, end_column=column + len(first))
            yield Hit(span=where, message=message, fix=_FIX, secrets=tuple(match.group().split("\n")))


def written(subject: Subject, step: Step, pair: Assignment) -> Hit | None:
    """What is to be said of a secret that looks real in one pair of ENV or ARG."""
    value = (pair.value or "").strip("\"'")
    if not looks_secret(pair.name, value):
        return None
    keyword = step.instruction.keyword
    if keyword == "ARG" and not known_token(value) and not run_follows(subject, step):
        return None
    return Hit(
        span=step.instruction.span(pair.start, pair.end),
        message=f"{keyword} {pair.name} holds what looks like a real secret, for all who have the image",
        fix=_FIX,
        secrets=(value,),
    )


def run_follows(subject: Subject, step: Step) -> bool:
    """A default of ARG gets into the image's history by the RUN instructions behind it."""
    later = reversed(subject.plan.stages[step.stage].steps)
    last = next((one.instruction.line for one in later if one.instruction.keyword == "RUN"), 0)
    return last > step.instruction.line


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.secrets import written_secrets  # noqa: PLC0415 - who judges a file has no use for it

    return written_secrets(evidence)


RULE = Rule(
    id="IF209",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="No secret is written into a Dockerfile",
    check=_check,
    image=_image,
    covers=frozenset({"DL3064"}),
)

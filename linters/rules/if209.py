"""IF209: a secret is written into the Dockerfile."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Assignment
from linters.image.secrets import written_secrets
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.secret_text import KNOWN, looks_random, names_secret
from linters.stages import Step

_FIX = "give it when the container starts, or to one RUN by --mount=type=secret"


def _check(subject: Subject) -> Iterator[Hit]:
    for step in subject.plan.reachable_steps("ENV", "ARG"):
        for pair in step.instruction.assignments:
            hit = _pair(subject, step, pair)
            if hit is not None:
                yield hit
    for step in subject.plan.reachable_steps("RUN", "LABEL", "CMD", "ENTRYPOINT"):
        text = step.instruction.logical.text
        for match in KNOWN.finditer(text):
            yield Hit(
                span=step.instruction.span(match.start(), match.end()),
                message=f"{step.instruction.keyword} holds what looks like a real token, for all who have the image",
                fix=_FIX,
                secrets=(match.group(),),
            )


def _pair(subject: Subject, step: Step, pair: Assignment) -> Hit | None:
    value = (pair.value or "").strip("\"'")
    known = KNOWN.search(value)
    if known is None and not (names_secret(pair.name) and looks_random(value)):
        return None
    keyword = step.instruction.keyword
    if known is None and keyword == "ARG" and not _run_follows(subject, step):
        return None
    return Hit(
        span=step.instruction.span(pair.start, pair.end),
        message=f"{keyword} {pair.name} holds what looks like a real secret, for all who have the image",
        fix=_FIX,
        secrets=(value,),
    )


def _run_follows(subject: Subject, step: Step) -> bool:
    """A default of ARG gets into the image's history by the RUN instructions behind it."""
    later = subject.plan.stages[step.stage].steps
    return any(one.instruction.keyword == "RUN" and one.instruction.line > step.instruction.line for one in later)


RULE = Rule(
    id="IF209",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="No secret is written into a Dockerfile",
    check=_check,
    image=written_secrets,
    covers=frozenset({"DL3064"}),
)

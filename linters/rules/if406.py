"""IF406: a program is made to run as its owner, whoever starts it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters.model import Principle, Severity
from linters.modes import changes, sets_user
from linters.rule import Hit, ImageHit, Rule, Subject

if TYPE_CHECKING:
    from linters.image.evidence import Evidence

_FIX = "leave the bit out; do what needs root in RUN, or give the container the one capability that is needed"


def _check(subject: Subject) -> Iterator[Hit]:
    for script in subject.run_scripts():
        for change in changes(script.commands):
            if change.sets_user:
                yield Hit(
                    span=script.span_of(change.command),
                    message=f"mode {change.mode} runs {change.paths[0]} as its owner, a way to root for all",
                    fix=_FIX,
                )
    for copy in subject.copies:
        flag = copy.step.instruction.flag("chmod")
        mode = copy.step.expand(flag.value) if flag and flag.value else None
        if flag and mode and sets_user(mode):
            yield Hit(
                span=copy.step.instruction.span(flag.start, flag.end),
                message=f"mode {mode} runs what is copied as its owner, a way to root for all",
                fix=_FIX,
            )


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.rights import raising  # noqa: PLC0415 - who judges a file has no use for it

    return raising(evidence)


RULE = Rule(
    id="IF406",
    severity=Severity.WARNING,
    principle=Principle.NON_ROOT,
    title="No program runs as its owner",
    check=_check,
    image=_image,
)

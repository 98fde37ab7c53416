"""IF203: the build upgrades whatever the base image holds."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.packages import Verb
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    for script in subject.run_scripts():
        for call in subject.calls(script):
            if call.verb is Verb.UPGRADE and not call.packages:
                said = " ".join(word.text for word in call.command.words[:3])
                yield Hit(
                    span=script.span_of(call.command),
                    message=f"`{said}` makes the image depend on the day it was built",
                    fix="build on a newer version or digest of the base image instead",
                )


RULE = Rule(
    id="IF203",
    severity=Severity.INFO,
    principle=Principle.IMMUTABLE,
    title="A build does not upgrade its base image",
    check=_check,
)

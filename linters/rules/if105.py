"""IF105: the image says it listens on the port of SSH."""

from __future__ import annotations

from collections.abc import Iterator

from linters.image.ports import exposed_ssh
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    for step in subject.plan.steps("EXPOSE"):
        for word in step.instruction.words:
            port = step.expand(word.text)
            if port is not None and port.lower() in ("22", "22/tcp"):
                yield Hit(
                    span=step.instruction.span(word.start, word.end),
                    message="port 22 is exposed: an SSH server beside the program is a second process",
                    fix="remove it; `docker exec` opens a shell in a running replica",
                )


RULE = Rule(
    id="IF105",
    severity=Severity.WARNING,
    principle=Principle.ONE_PROCESS,
    title="A container offers no SSH",
    check=_check,
    image=exposed_ssh,
)

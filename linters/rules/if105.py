"""IF105: the image says it listens on the port of SSH."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters import edits
from linters.dockerfile import Word
from linters.model import Edit, Principle, Severity
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.rules.if104 import installs_ssh
from linters.rules.if401 import starts_a_script
from linters.stages import Step

if TYPE_CHECKING:
    from linters.image.evidence import Evidence


def _check(subject: Subject) -> Iterator[Hit]:
    for step in subject.plan.steps("EXPOSE"):
        ports = [word for word in step.instruction.words if _is_ssh(step, word)]
        for word in ports:
            changes = _without(subject, step, ports) if word is ports[0] else ()
            yield Hit(
                span=step.instruction.span(word.start, word.end),
                message="port 22 is exposed: an SSH server beside the program is a second process",
                fix="remove it; `docker exec` opens a shell in a running replica",
                severity=Severity.ERROR if _beside(subject) else None,
                edits=changes,
            )


def _beside(subject: Subject) -> bool:
    """Whether a server for SSH is there and is surely not the program: a script may start it as the only one."""
    known = subject.entry.main is not None and (not starts_a_script(subject.entry) or subject.start is not None)
    return known and installs_ssh(subject)


def _is_ssh(step: Step, word: Word) -> bool:
    port = step.expand(word.text)
    return port is not None and port.lower() in ("22", "22/tcp")


def _without(subject: Subject, step: Step, ports: list[Word]) -> tuple[Edit, ...]:
    """The EXPOSE without these words; all of it where none is left."""
    words = step.instruction.words
    if len(ports) == len(words):
        return edits.removed(subject.dockerfile, step.instruction)
    if len(ports) > 1:
        return ()
    changes: list[Edit] = []
    for word in ports:
        # With the blank in front of it, or behind it where it is the first.
        index = words.index(word)
        first = index == 0
        start, end = (word.start, words[index + 1].start) if first else (words[index - 1].end, word.end)
        change = edits.replaced(subject.dockerfile, step.instruction, start, end, "")
        if not change:
            return ()
        changes += change
    return tuple(changes)


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.ports import exposed_ssh  # noqa: PLC0415 - who judges a file has no use for it

    return exposed_ssh(evidence)


RULE = Rule(
    id="IF105",
    severity=Severity.WARNING,
    principle=Principle.ONE_PROCESS,
    title="A container offers no SSH",
    check=_check,
    image=_image,
)

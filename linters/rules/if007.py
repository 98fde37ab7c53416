"""IF007: the protocol of an EXPOSE in capitals."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.edits import replaced
from linters.instructions import each
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_PORT = re.compile(r"[^/$]*/(tcp|udp|sctp)$", re.IGNORECASE)


def _check(subject: Subject) -> Iterator[Hit]:
    for _, instruction in each(subject, "EXPOSE"):
        for word in instruction.words:
            match = _PORT.match(word.text)
            if match is None or match.group(1).islower():
                continue
            start = word.start + match.start(1)
            small = match.group(1).lower()
            yield Hit(
                span=instruction.span(start, word.end),
                message=f"the protocol {match.group(1)} is written in small letters everywhere else",
                fix=f"write {word.text[: match.start(1)]}{small}",
                edits=replaced(subject.dockerfile, instruction, start, word.end, small),
                safe=True,
            )


RULE = Rule(
    id="IF007",
    severity=Severity.STYLE,
    principle=Principle.GENERAL,
    title="The protocol of EXPOSE is in small letters",
    check=_check,
    alias="ExposeProtoCasing",
)

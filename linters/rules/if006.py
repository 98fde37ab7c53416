"""IF006: an EXPOSE that names no port, or one of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.dockerfile import Instruction, Word
from linters.edits import replaced
from linters.instructions import each
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_LARGEST = 65535
_PROTOCOLS = ("tcp", "udp", "sctp", "")
_NUMBER = re.compile(r"[+]?[0-9]+$")


def _check(subject: Subject) -> Iterator[Hit]:
    for step, instruction in each(subject, "EXPOSE"):
        for word in instruction.words:
            value = step.expand(word.text) if step.instruction is instruction else _plain(word.text)
            for port in (value or "").split():
                hit = _port(subject, instruction, word, port)
                if hit is not None:
                    yield hit
                    break


def _plain(text: str) -> str | None:
    return None if "$" in text else text


def _port(subject: Subject, instruction: Instruction, word: Word, port: str) -> Hit | None:
    span = instruction.span(word.start, word.end)
    *host, container = port.split(":")
    problem = _problem(container)
    if problem:
        return Hit(
            span=span,
            message=f"`{port}` is no port: {problem}; a build stops here",
            fix="write a number from 1 to 65535, or a range, and /udp behind it where it is not TCP",
        )
    if host:
        edits = replaced(subject.dockerfile, instruction, word.start, word.end, container) if port == word.text else ()
        return Hit(
            span=span,
            message=f"`{port}` names a port or address of the host, which an image has none of; it is left out",
            fix=f"write EXPOSE {container}, and publish it where the container is started",
            severity=Severity.WARNING,
            edits=edits,
            safe=bool(edits),
        )
    return None


def _problem(text: str) -> str | None:
    ports, _, protocol = text.partition("/")
    if protocol.lower() not in _PROTOCOLS:
        return f"/{protocol} is none of tcp, udp and sctp"
    first, dash, last = ports.partition("-")
    values = []
    for number in (first, last) if dash else (first,):
        if not _NUMBER.match(number):
            return f"`{number}` is no number" if number else "the number is missing"
        digits = number.lstrip("+0") or "0"
        if len(digits) > len(str(_LARGEST)) or int(digits) > _LARGEST:
            return f"the largest is {_LARGEST}"
        values.append(int(digits))
    if dash and values[1] < values[0]:
        return f"{first} comes behind {last}"
    return None


RULE = Rule(
    id="IF006",
    severity=Severity.ERROR,
    principle=Principle.GENERAL,
    title="EXPOSE names ports of the container",
    check=_check,
    covers=frozenset({"DL3011"}),
    alias="ExposeInvalidFormat",
)

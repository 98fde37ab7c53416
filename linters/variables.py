"""The variables that a text names, where it names them, and whether it says what holds without them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$(?:\{{({_NAME})(:?[-+?]|##?|%%?|//?)?|({_NAME}))")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """`$NAME` or `${NAME…}` at `start` up to `end` of the text; `end` is behind the name. `optional` says that the text
    provides for the variable not being set."""

    name: str
    start: int
    end: int
    optional: bool


def references(text: str, *, escape: str = "\\") -> Iterator[Reference]:
    """The variables that BuildKit would replace in a word: not behind an escape, and not in single quotes."""
    if "$" not in text:
        return
    quoted = False
    position = 0
    double = False
    while position < len(text):
        char = text[position]
        if quoted:
            quoted = char != "'"
        elif char == escape:
            position += 1
        elif char == "'" and not double:
            quoted = True
        elif char == '"':
            double = not double
        elif char == "$":
            match = _REFERENCE.match(text, position)
            if match is not None:
                name = match.group(1) or match.group(3)
                end = match.end(1) if match.group(1) else match.end(3)
                optional = bool(match.group(2)) and match.group(2)[-1] in "-+?"
                yield Reference(name=name, start=position, end=end, optional=optional)
                position = end - 1
        position += 1

"""Here-documents: which words of a line open one, and the lines that belong to it.

A whole word has to be the marker, as in BuildKit's parser: `cat<<EOF` or `<< EOF` open none there.
"""

from __future__ import annotations

import re

from linters.dockerfile.lines import LineReader
from linters.dockerfile.model import Heredoc, LogicalLine, Problem
from linters.dockerfile.words import split_quoted, unquote

_MARKER = re.compile(r"(\d*)<<(-?)\s*([^<]+)$")
KEYWORDS = frozenset({"RUN", "COPY", "ADD"})


def read_heredocs(logical: LogicalLine, reader: LineReader) -> tuple[tuple[Heredoc, ...], Problem | None]:
    """The heredocs that `logical` opens, their bodies taken from `reader`; a problem where one is never closed."""
    found: list[Heredoc] = []
    if "<<" not in logical.text:
        return (), None
    for word in split_quoted(logical.text, 0, "\\"):
        match = _MARKER.match(word.text)
        if match is None or _unbalanced(match.group(3)):
            continue
        name = unquote(match.group(3), "\\")
        if not name:
            continue
        body_line = reader.index + 1
        body = _take_body(name, match.group(2) == "-", reader)
        if body is None:
            message = f"heredoc {word.text} is never closed, expected a line that holds `{name}` alone"
            return tuple(found), Problem(message=message, span=logical.span(word.start, word.end))
        found.append(
            Heredoc(
                name=name,
                strip_tabs=match.group(2) == "-",
                expand=not any(quote in match.group(3) for quote in "'\""),
                body=body,
                body_line=body_line,
                end_line=reader.index,
                start=word.start,
                end=word.end,
            )
        )
    return tuple(found), None


def _unbalanced(text: str) -> bool:
    return any(text.count(quote) % 2 for quote in "'\"")


def _take_body(name: str, strip_tabs: bool, reader: LineReader) -> str | None:
    body: list[str] = []
    while (raw := reader.take()) is not None:
        line = raw.rstrip("\r\n")
        if (line.lstrip("\t") if strip_tabs else line) == name:
            return "".join(body)
        body.append(raw)
    return None

"""Physical lines: continuations, comments and parser directives.

The algorithm is that of BuildKit's `frontend/dockerfile/parser` (parser.go, directives.go): a continuation is an escape
character not preceded by another one and followed by blanks only; comments and empty lines inside a continued
instruction are skipped; directives end with the first line that is none.
"""

from __future__ import annotations

import re

from linters.dockerfile.model import Comment, Directive, LogicalLine, Piece, Problem, Span

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(\S.*)")
DIRECTIVES = ("syntax", "escape", "check")


def whole_line(line: int, text: str) -> Span:
    """The span of a physical line's visible text."""
    stripped = text.rstrip("\r\n")
    indent = len(stripped) - len(stripped.lstrip())
    return Span(line=line, column=indent + 1, end_line=line, end_column=max(len(stripped), indent) + 1)


class LineReader:
    """Hands out logical lines one after the other; the caller takes heredoc bodies in between with `take`."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines
        self.index = 0
        self.escape = "\\"
        self.directives: list[Directive] = []
        self.comments: list[Comment] = []
        self.problems: list[Problem] = []
        self._pending: list[Comment] = []
        self._directives_over = False
        self._set_escape("\\")

    def take(self) -> str | None:
        """The next physical line with its end, or None at the end of the file."""
        if self.index >= len(self.lines):
            return None
        self.index += 1
        return self.lines[self.index - 1]

    def pending_comments(self) -> tuple[Comment, ...]:
        """The comment lines directly above the logical line handed out last; a blank line between parts them."""
        pending, self._pending = tuple(self._pending), []
        return pending

    def next(self) -> LogicalLine | None:
        """The next logical line that is neither blank nor a comment, or None at the end of the file."""
        while (raw := self.take()) is not None:
            stripped = raw.rstrip("\r\n").lstrip()
            if self._directive(stripped):
                continue
            if stripped.startswith("#"):
                self._comment(raw, stripped)
                continue
            if not stripped:
                self._pending.clear()
                continue
            return self._join(raw)
        return None

    def _comment(self, raw: str, stripped: str) -> None:
        comment = Comment(text=stripped[1:].strip(), line=self.index, column=raw.index("#") + 1)
        self.comments.append(comment)
        self._pending.append(comment)

    def _directive(self, stripped: str) -> bool:
        """Whether the line is a parser directive, which is then taken note of."""
        if self._directives_over:
            return False
        match = _DIRECTIVE.match(stripped.rstrip())
        name = match.group(1).lower() if match else ""
        if not match or name not in DIRECTIVES:
            self._directives_over = True
            return False
        where = whole_line(self.index, self.lines[self.index - 1])
        if any(known.name == name for known in self.directives):
            self.problems.append(Problem(message=f"only one {name} directive can be used", span=where))
            return True
        self.directives.append(Directive(name=name, value=match.group(2), line=self.index))
        if name == "escape":
            if match.group(2) in ("\\", "`"):
                self._set_escape(match.group(2))
            else:
                message = f"invalid escape directive `{match.group(2)}`, expected \\ or `"
                self.problems.append(Problem(message=message, span=where))
        return True

    def _set_escape(self, escape: str) -> None:
        self.escape = escape
        mark = re.escape(escape)
        self._continued = re.compile(rf"(^|[^{mark}]){mark}[ \t]*$")

    def _join(self, raw: str) -> LogicalLine:
        text = raw.rstrip("\r\n")
        indent = len(text) - len(text.lstrip())
        share, more = self._share(text[indent:])
        pieces = [Piece(offset=0, line=self.index, column=indent + 1)]
        parts = [share]
        length, last = len(share), self.index
        while more and (raw_next := self.take()) is not None:
            text = raw_next.rstrip("\r\n")
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            share, more = self._share(text)
            pieces.append(Piece(offset=length, line=self.index, column=1))
            parts.append(share)
            length, last = length + len(share), self.index
        return LogicalLine(text="".join(parts), pieces=tuple(pieces), end_line=last)

    def _share(self, text: str) -> tuple[str, bool]:
        match = self._continued.search(text)
        return (text[: match.end(1)], True) if match else (text, False)

"""What a Dockerfile is made of. Lines and columns count from 1, columns in characters; an end column is exclusive."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A stretch of the file, possibly over several lines."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Where one physical line's share of a logical line starts: at `offset` there, at `line` and `column` here."""

    offset: int
    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LogicalLine:
    """Physical lines joined over their continuations, as BuildKit joins them, with the way back to the file."""

    text: str
    pieces: tuple[Piece, ...]
    end_line: int

    @property
    def line(self) -> int:
        """The physical line it starts on."""
        return self.pieces[0].line

    def locate(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at `offset`; the end of the text is a place too."""
        piece = self.pieces[max(0, bisect_right(self.pieces, offset, key=lambda one: one.offset) - 1)]
        return piece.line, piece.column + offset - piece.offset

    def span(self, start: int, end: int) -> Span:
        """The stretch from `start` up to `end`, exclusive."""
        line, column = self.locate(start)
        last_line, last_column = self.locate(max(start, end - 1))
        return Span(line=line, column=column, end_line=last_line, end_column=last_column + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One argument as written, quotes included; `start` and `end` are offsets in the logical line."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """`--name=value` of an instruction; `value` is None for a bare `--name`. Quotes are already taken off."""

    name: str
    value: str | None
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """One `name=value` of ENV, ARG or LABEL; the value is raw, and None for an ARG without default."""

    name: str
    value: str | None
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Heredoc:
    """A here-document of RUN, COPY or ADD. `expand` is False where its word was quoted."""

    name: str
    strip_tabs: bool
    expand: bool
    body: str
    body_line: int
    end_line: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comment:
    """A comment line outside any instruction; `text` is without the `#` and blanks around it."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Directive:
    """A parser directive: `syntax`, `escape` or `check`."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A syntax error at one place; `foreign` where what stands there is like no instruction at all."""

    message: str
    span: Span
    hint: str | None = None
    foreign: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """One instruction. `keyword` is in capitals; `arguments` is the text behind keyword and flags.

    `exec_form` holds the strings of a JSON array and is None for any other form. `words` are the arguments split at
    blanks, and for ENV, ARG and LABEL with respect to quotes. `trigger` is what an ONBUILD holds; it shares its
    parent's logical line. `end_line` is the last physical line, heredoc terminators included.
    """

    keyword: str
    logical: LogicalLine
    keyword_start: int
    keyword_end: int
    arguments: str
    arguments_start: int
    flags: tuple[Flag, ...] = ()
    words: tuple[Word, ...] = ()
    exec_form: tuple[str, ...] | None = None
    assignments: tuple[Assignment, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[Comment, ...] = ()
    trigger: Instruction | None = None
    end_line: int = 0

    @property
    def line(self) -> int:
        """The physical line it starts on."""
        return self.logical.line

    def span(self, start: int | None = None, end: int | None = None) -> Span:
        """The place of offsets `start` to `end` of the logical line; of the keyword where none are given."""
        if start is None:
            return self.logical.span(self.keyword_start, self.keyword_end)
        return self.logical.span(start, len(self.logical.text) if end is None else end)

    def flag(self, name: str) -> Flag | None:
        """The first flag of this name, or None."""
        return next((flag for flag in self.flags if flag.name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dockerfile:
    """A parsed file. `mark` is its byte order mark or empty; it and `lines` joined give the text back."""

    lines: tuple[str, ...]
    mark: str = ""
    escape: str = "\\"
    directives: tuple[Directive, ...] = ()
    instructions: tuple[Instruction, ...] = ()
    comments: tuple[Comment, ...] = ()
    problems: tuple[Problem, ...] = field(default=())
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lengths = accumulate((len(line) for line in self.lines), initial=len(self.mark))
        object.__setattr__(self, "_starts", tuple(lengths))

    def offset(self, line: int, column: int) -> int:
        """Where a place lies in the text, in characters from 0, the byte order mark counted. The end of the file is a
        place too. Raises IndexError for a line that is not there."""
        if not 0 < line <= len(self._starts):
            raise IndexError(line)
        return self._starts[line - 1] + column - 1

    def stretch(self, span: Span) -> tuple[int, int]:
        """The characters of the text that `span` covers, from and up to; continuations between its lines included."""
        return self.offset(span.line, span.column), self.offset(span.end_line, span.end_column)

    def line(self, number: int) -> str:
        """Physical line `number` without its end; empty outside the file."""
        return self.lines[number - 1].rstrip("\r\n") if 0 < number <= len(self.lines) else ""

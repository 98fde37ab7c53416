"""A text that hadolint can read, line for line the same.

Hadolint 2.15 loses its way behind a heredoc whose terminator is followed by a line that is neither blank nor indented,
and at a terminator that `<<-` lets stand behind tabs. One blank before the former and no tabs before the latter
change no line number.
"""

from __future__ import annotations

from linters.dockerfile import Dockerfile


def for_hadolint(dockerfile: Dockerfile) -> str:
    """The file's text with heredocs dressed for hadolint; stray bytes become U+FFFD."""
    lines = list(dockerfile.lines)
    for instruction in dockerfile.instructions:
        for heredoc in instruction.heredocs:
            end = heredoc.end_line
            if heredoc.strip_tabs:
                for number in range(heredoc.body_line, end + 1):
                    lines[number - 1] = lines[number - 1].lstrip("\t")
        if instruction.heredocs and instruction.end_line < len(lines):
            following = lines[instruction.end_line]
            if following.strip() and not following[0].isspace():
                lines[instruction.end_line] = " " + following
    return "".join(lines).encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")

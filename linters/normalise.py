"""A text that hadolint can read, line for line the same.

Hadolint 2.15 loses its way behind a heredoc whose terminator is followed by a line that is neither blank nor indented,
and at a terminator that `<<-` lets stand behind tabs; it breaks down at a WORKDIR of a single letter. One blank before
the first, no tabs before the second and a slash behind the third change neither a meaning nor a line number.
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
        if instruction.keyword == "WORKDIR" and len(instruction.arguments) == 1 and instruction.arguments != "/":
            line, column = instruction.logical.locate(instruction.arguments_start)
            lines[line - 1] = f"{lines[line - 1][:column]}/{lines[line - 1][column:]}"
        if instruction.heredocs and instruction.end_line < len(lines):
            following = lines[instruction.end_line]
            if following.strip() and not following[0].isspace():
                lines[instruction.end_line] = " " + following
    return "".join(lines).encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")

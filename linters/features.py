"""Which features of the Dockerfile frontend a file uses, and the lowest frontend version that has each.

The versions are those of the tables in BuildKit's Dockerfile reference (`frontend/dockerfile/docs/reference.md`).
A frontend without a feature does not always say so: one before 1.4 takes the lines of a heredoc for instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linters.dockerfile import Dockerfile, Instruction, parse, printable, read_text

_COPY_INSTEAD = "leave the flag out; RUN chmod in a build stage keeps the layer small"
_FLAGS: dict[tuple[str, str], tuple[tuple[int, int], str]] = {
    ("RUN", "mount"): ((1, 2), "leave the mount out, and clean up in the same RUN"),
    ("RUN", "network"): ((1, 3), "leave --network out"),
    ("RUN", "security"): ((1, 20), "leave --security out"),
    ("RUN", "device"): ((1, 14), "leave --device out"),
    ("ADD", "keep-git-dir"): ((1, 1), "clone in a build stage instead"),
    ("ADD", "checksum"): ((1, 6), "download in a RUN and check with sha256sum -c"),
    ("ADD", "chmod"): ((1, 2), _COPY_INSTEAD),
    ("ADD", "link"): ((1, 4), "leave --link out; the result is the same"),
    ("ADD", "unpack"): ((1, 17), "copy the archive and unpack it in a build stage"),
    ("ADD", "exclude"): ((1, 19), "list the paths in .dockerignore"),
    ("COPY", "chmod"): ((1, 2), _COPY_INSTEAD),
    ("COPY", "link"): ((1, 4), "leave --link out; the result is the same"),
    ("COPY", "parents"): ((1, 20), "name the destination folder of each COPY"),
    ("COPY", "exclude"): ((1, 19), "list the paths in .dockerignore"),
    ("HEALTHCHECK", "start-interval"): ((1, 6), "leave --start-interval out"),
}
_HEREDOC_REMEDY = {
    "RUN": "join the commands with && and line ends of \\",
    "COPY": "put the text into a file of the context and COPY that",
    "ADD": "put the text into a file of the context and COPY that",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontendFeature:
    """One use of a feature. `needs` is the lowest frontend version, (1, 4) for 1.4; `remedy` does without it."""

    name: str
    line: int
    excerpt: str
    needs: tuple[int, int]
    remedy: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntaxDirective:
    """The frontend image that `# syntax=` asks for."""

    image: str
    line: int


def frontend_features(dockerfile: Path | str) -> tuple[FrontendFeature, ...]:
    """The features that a file (a Path) or a text (a str) uses, in file order.

    Raises DockerfileError where the file cannot be read; a text that does not parse gives what could be read of it.
    """
    parsed = _parsed(dockerfile)
    return tuple(feature for instruction in parsed.instructions for feature in _features(parsed, instruction))


def syntax_directive(dockerfile: Path | str) -> SyntaxDirective | None:
    """The `# syntax=` directive of a file (a Path) or a text (a str), or None. Raises DockerfileError as above."""
    for directive in _parsed(dockerfile).directives:
        if directive.name == "syntax":
            return SyntaxDirective(image=directive.value.split()[0], line=directive.line)
    return None


def _parsed(dockerfile: Path | str) -> Dockerfile:
    text = read_text(dockerfile, subject=str(dockerfile)) if isinstance(dockerfile, Path) else dockerfile
    return parse(text)


def _features(dockerfile: Dockerfile, instruction: Instruction) -> Iterator[FrontendFeature]:
    inner = instruction.trigger or instruction
    for flag in inner.flags:
        known = _FLAGS.get((inner.keyword, flag.name))
        if known is not None:
            needs, remedy = known
            line = inner.span(flag.start, flag.end).line
            yield FrontendFeature(
                name=f"{inner.keyword} --{flag.name}",
                line=line,
                excerpt=printable(dockerfile.line(line)),
                needs=needs,
                remedy=remedy,
            )
    for heredoc in inner.heredocs[:1]:
        line = inner.span(heredoc.start, heredoc.end).line
        yield FrontendFeature(
            name=f"{inner.keyword} <<{heredoc.name}",
            line=line,
            excerpt=printable(dockerfile.line(line)),
            needs=(1, 4),
            remedy=_HEREDOC_REMEDY.get(inner.keyword, ""),
        )

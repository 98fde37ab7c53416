"""Which features of the Dockerfile frontend a file uses, and the lowest frontend version that has each.

The versions are those of the tables in BuildKit's Dockerfile reference (`frontend/dockerfile/docs/reference.md`),
and of the first stable `dockerfile/…` tag of its repository whose source has the feature. A frontend without a
feature does not always say so: one before 1.4 takes the lines of a heredoc for instructions, and one before 1.14
leaves out a `--chmod` that is no octal number, without a word (both seen on Engine 20.10.24).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from linters.dockerfile import Dockerfile, Flag, Instruction, parse, printable, read_text

_COPY_INSTEAD = "leave the flag out; RUN chmod in a build stage keeps the layer small"
_FLAGS: dict[tuple[str, str], tuple[tuple[int, int], str]] = {
    ("RUN", "mount"): ((1, 2), "leave the mount out, and clean up in the same RUN"),
    ("RUN", "network"): ((1, 3), "leave --network out"),
    ("RUN", "security"): ((1, 20), "leave --security out"),
    ("RUN", "device"): ((1, 14), "leave --device out"),
    ("ADD", "keep-git-dir"): ((1, 6), "clone in a build stage instead"),
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
# Instructions whose variables the frontend replaces; in RUN, CMD and ENTRYPOINT the shell does.
_EXPANDED = frozenset(
    {"ADD", "ARG", "COPY", "ENV", "EXPOSE", "FROM", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)
_MODIFIER = re.compile(r"(?<!\\)\$\{[A-Za-z_][A-Za-z0-9_]*(#|%|/|[-+?])")
_OCTAL = re.compile(r"[0-7]+$")
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

    def feature(name: str, offset: int, needs: tuple[int, int], remedy: str) -> FrontendFeature:
        line = inner.span(offset, offset + 1).line
        excerpt = printable(dockerfile.line(line))
        return FrontendFeature(name=name, line=line, excerpt=excerpt, needs=needs, remedy=remedy)

    for flag in inner.flags:
        for name, needs, remedy in _of_flag(inner, flag):
            yield feature(name, flag.start, needs, remedy)
    for heredoc in inner.heredocs[:1]:
        remedy = _HEREDOC_REMEDY.get(inner.keyword, "")
        yield feature(f"{inner.keyword} <<{heredoc.name}", heredoc.start, (1, 4), remedy)
    if inner.keyword in _EXPANDED:
        for match in _MODIFIER.finditer(inner.logical.text, inner.keyword_end):
            needs = (1, 6) if match.group(1) in "-+?" else (1, 7)
            remedy = "write :- or :+" if match.group(1) in "-+" else "set an ARG to the text that is wanted"
            yield feature(f"{match.group()}…}}", match.start(), needs, remedy)
    if inner.keyword == "ADD" and inner.words and inner.words[0].text.partition("#")[0].endswith(".git"):
        yield feature("ADD of a git repository", inner.words[0].start, (1, 6), "clone in a build stage instead")


def _of_flag(inner: Instruction, flag: Flag) -> Iterator[tuple[str, tuple[int, int], str]]:
    value = flag.value or ""
    name = f"{inner.keyword} --{flag.name}"
    if flag.name == "chmod" and "$" not in value and not _OCTAL.match(value):
        yield f"{name}={value}", (1, 14), "write the mode as an octal number, such as --chmod=755"
    elif flag.name == "mount" and re.search(r"(?:^|,)env=", value):
        yield f"{name}=…,env=", (1, 10), "leave env out, and read the file under /run/secrets"
    elif (inner.keyword, flag.name) in _FLAGS:
        needs, remedy = _FLAGS[inner.keyword, flag.name]
        yield name, needs, remedy

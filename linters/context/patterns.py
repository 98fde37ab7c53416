"""The lines of a .dockerignore together, by the rules of Docker's moby/patternmatcher.

They are not git's: a pattern is relative to the root and never looked for by its base name alone, a pattern that
matches a folder takes all below it, the last pattern that matches wins, and `!` brings back even what lies below a
folder that was left out. https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from linters.context.pattern import Pattern

NAME = ".dockerignore"


class MalformedPattern(ValueError):
    """A line that is no pattern; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Patterns:
    """The patterns in their order."""

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Patterns:
        """The patterns of a .dockerignore's text, comments left out. Raises MalformedPattern."""
        return cls.of(text.split("\n"), comments=True)

    @classmethod
    def of(cls, lines: Iterable[str], *, comments: bool = False) -> Patterns:
        """The patterns of `lines`, of which those that begin with `#` are comments where `comments` says so. Raises
        MalformedPattern."""
        patterns = []
        for number, line in enumerate(lines, 1):
            if comments and line.startswith("#"):
                continue
            try:
                pattern = Pattern.parse(line)
            except ValueError as error:
                raise MalformedPattern(number, str(error)) from error
            if pattern:
                patterns.append(pattern)
        return cls(tuple(patterns))

    def excludes(self, path: str) -> bool:
        """Whether the patterns leave out this path, which is relative, with `/`."""
        parts = path.split("/")
        paths = [path, *("/".join(parts[:end]) for end in range(1, len(parts)))]
        out = False
        for pattern in self.patterns:
            if pattern.again == out and any(map(pattern.matches, paths)):
                out = not pattern.again
        return out

    def may_hold(self, folder: str) -> bool:
        """Whether something below a folder that is left out could still be in. True more often than it must be."""
        return any(pattern.may_match_below(folder + "/") for pattern in self.patterns if pattern.again)


def ignore_file(folder: Path, dockerfile: Path) -> Path | None:
    """`<Dockerfile>.dockerignore` beside the Dockerfile if there is one, else the folder's .dockerignore, else None."""
    own = dockerfile.with_name(dockerfile.name + NAME)
    return next((each for each in (own, folder / NAME) if each.is_file()), None)

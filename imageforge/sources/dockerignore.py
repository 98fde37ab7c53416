"""What a .dockerignore leaves out, by the rules of Docker's moby/patternmatcher.

They are not git's: a pattern is relative to the root and never looked for by its base name alone, a pattern that
matches a folder takes all below it, the last pattern that matches wins, and `!` brings back even what lies below a
folder that was left out. https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imageforge.sources.errors import SourceRefused
from imageforge.sources.pattern import Pattern

NAME = ".dockerignore"
OUTSIDE = ".imageforge/Dockerfile"
"""Where a Dockerfile from outside of the context goes."""
_ALWAYS = ("Dockerfile", NAME, "imageforge.toml")
_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Ignore:
    """What is left out of a context, and what stays in it whatever the patterns say."""

    patterns: tuple[Pattern, ...] = ()
    kept: frozenset[str] = frozenset(_ALWAYS)
    dockerfile: Path | None = None
    file: Path | None = None

    @classmethod
    def read(cls, folder: Path, dockerfile: Path | None = None, *, also: Iterable[str] = ()) -> Ignore:
        """`<Dockerfile>.dockerignore` beside the Dockerfile if there is one, else the folder's .dockerignore.

        A relative `dockerfile` is relative to the folder; `also` are files that stay in, too. Raises SourceRefused
        (`dockerignore-invalid`) with the line.
        """
        path = folder / (dockerfile or "Dockerfile")
        own = path.with_name(path.name + NAME)
        file = next((each for each in (own, folder / NAME) if each.is_file()), None)
        kept = {*_ALWAYS, *also, *(name for each in (path, file) if each and (name := inside(folder, each)))}
        return cls(_patterns(file) if file else (), frozenset(kept), path, file)

    @classmethod
    def of(cls, *lines: str) -> Ignore:
        """The same from lines, without comments."""
        return cls(tuple(pattern for line in lines if (pattern := Pattern.parse(line))))

    def excludes(self, path: str) -> bool:
        """Whether the patterns leave out this path, which is relative, with `/`."""
        parts = path.split("/")
        paths = [path, *("/".join(parts[:end]) for end in range(1, len(parts)))]
        out = False
        for pattern in self.patterns:
            if pattern.again == out and any(map(pattern.matches, paths)):
                out = not pattern.again
        return out

    def leaves_out(self, path: str) -> bool:
        """The same, less what a context always has."""
        return path not in self.kept and self.excludes(path)

    def may_hold(self, folder: str) -> bool:
        """Whether something below a folder that is left out could still be in. True more often than it must be."""
        below = folder + "/"
        return any(name.startswith(below) for name in self.kept) or any(
            pattern.may_match_below(below) for pattern in self.patterns if pattern.again
        )


def inside(folder: Path, path: Path) -> str | None:
    """The path's name in the folder, or None if it lies outside. A link counts where it is, not where it leads."""
    root = Path(os.path.realpath(folder))
    place = Path(os.path.realpath(path.parent)) / path.name
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else None


def _patterns(file: Path) -> tuple[Pattern, ...]:
    patterns: list[Pattern] = []
    try:
        with file.open("rb") as source:
            text = source.read(_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused("dockerignore-invalid", str(file), str(error), hint="expected UTF-8 text") from error
    if len(text) > _BYTES:
        raise SourceRefused("dockerignore-invalid", str(file), "larger than 1 MiB", hint="use patterns with **")
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):
            continue
        try:
            pattern = Pattern.parse(line)
        except ValueError as error:
            raise SourceRefused(
                "dockerignore-invalid", f"{file}:{number}", str(error), hint="put \\ before a character meant literally"
            ) from error
        if pattern:
            patterns.append(pattern)
    return tuple(patterns)

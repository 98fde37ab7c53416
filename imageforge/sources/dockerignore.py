"""What a .dockerignore leaves out of a context that is sent, and what stays in it in any case.

The patterns themselves are linters', whose rules read the same context; they are loaded where there is a context.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imageforge.sources.errors import SourceRefused

if TYPE_CHECKING:
    from linters import Patterns

NAME = ".dockerignore"
OUTSIDE = ".imageforge/Dockerfile"
"""Where a Dockerfile from outside of the context goes."""
_ALWAYS = ("Dockerfile", NAME, "imageforge.toml")
_BYTES = 1 << 20


def _no_patterns() -> Patterns:
    from linters import Patterns  # noqa: PLC0415

    return Patterns()


@dataclass(frozen=True, slots=True)
class Ignore:
    """What is left out of a context, and what stays in it whatever the patterns say."""

    patterns: Patterns = field(default_factory=_no_patterns)
    kept: frozenset[str] = frozenset(_ALWAYS)
    dockerfile: Path | None = None
    file: Path | None = None

    @classmethod
    def read(cls, folder: Path, dockerfile: Path | None = None, *, also: Iterable[str] = ()) -> Ignore:
        """`<Dockerfile>.dockerignore` beside the Dockerfile if there is one, else the folder's .dockerignore.

        A relative `dockerfile` is relative to the folder; `also` are files that stay in, too. Raises SourceRefused
        (`dockerignore-invalid`) with the line.
        """
        from linters import ignore_file  # noqa: PLC0415

        path = folder / (dockerfile or "Dockerfile")
        file = ignore_file(folder, path)
        kept = {*_ALWAYS, *also, *(name for each in (path, file) if each and (name := inside(folder, each)))}
        return cls(_patterns(file) if file else _no_patterns(), frozenset(kept), path, file)

    @classmethod
    def of(cls, *lines: str) -> Ignore:
        """The same from lines, without comments."""
        from linters import Patterns  # noqa: PLC0415

        return cls(Patterns.of(lines))

    def excludes(self, path: str) -> bool:
        """Whether the patterns leave out this path, which is relative, with `/`."""
        return self.patterns.excludes(path)

    def leaves_out(self, path: str) -> bool:
        """The same, less what a context always has."""
        return path not in self.kept and self.excludes(path)

    def may_hold(self, folder: str) -> bool:
        """Whether something below a folder that is left out could still be in. True more often than it must be."""
        return any(name.startswith(folder + "/") for name in self.kept) or self.patterns.may_hold(folder)


def inside(folder: Path, path: Path) -> str | None:
    """The path's name in the folder, or None if it lies outside. A link counts where it is, not where it leads."""
    root = Path(os.path.realpath(folder))
    place = Path(os.path.realpath(path.parent)) / path.name
    return place.relative_to(root).as_posix() if place.is_relative_to(root) else None


def _patterns(file: Path) -> Patterns:
    from linters import MalformedPattern, Patterns  # noqa: PLC0415

    try:
        with file.open("rb") as source:
            text = source.read(_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceRefused("dockerignore-invalid", str(file), str(error), hint="expected UTF-8 text") from error
    if len(text) > _BYTES:
        raise SourceRefused("dockerignore-invalid", str(file), "larger than 1 MiB", hint="use patterns with **")
    try:
        return Patterns.parse(text)
    except MalformedPattern as error:
        raise SourceRefused(
            "dockerignore-invalid",
            f"{file}:{error.line}",
            str(error),
            hint="put \\ before a character meant literally",
        ) from error

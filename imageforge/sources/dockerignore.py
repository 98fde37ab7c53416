"""What a .dockerignore leaves out, by the rules of Docker's moby/patternmatcher.

They are not git's: a pattern is relative to the root and never looked for by its base name alone, a pattern that
matches a folder takes all below it, the last pattern that matches wins, and `!` brings back even what lies below a
folder that was left out. https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imageforge.sources.errors import SourceRefused

NAME = ".dockerignore"
OUTSIDE = ".imageforge/Dockerfile"
"""Where a Dockerfile from outside of the context goes."""
_ALWAYS = ("Dockerfile", NAME, "imageforge.toml")
_BYTES = 1 << 20
_WILD = re.compile(r"[*?\[\\]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: `text` is clean (no leading or trailing slash), `again` brings back what it matches."""

    text: str
    again: bool
    matches: Callable[[str], bool] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, line: str) -> Pattern | None:
        """None for an empty line. Raises ValueError for a malformed one."""
        text = line.strip()
        again = text.startswith("!")
        if again:
            text = text[1:].strip()
            if not text:
                raise ValueError("'!' without a pattern")
        if not text:
            return None
        text = posixpath.normpath(text)
        text = text.lstrip("/") or "/"
        return cls(text, again, _matcher(text))


@dataclass(frozen=True, slots=True)
class Ignore:
    """What is left out of a context, and what stays in it whatever the patterns say."""

    patterns: tuple[Pattern, ...] = ()
    kept: frozenset[str] = frozenset(_ALWAYS)
    dockerfile: Path | None = None
    file: Path | None = None

    @classmethod
    def read(cls, folder: Path, dockerfile: Path | None = None) -> Ignore:
        """`<Dockerfile>.dockerignore` beside the Dockerfile if there is one, else the folder's .dockerignore.

        A relative `dockerfile` is relative to the folder. Raises SourceRefused (`dockerignore-invalid`) with the line.
        """
        path = folder / (dockerfile or "Dockerfile")
        own = path.with_name(path.name + NAME)
        file = next((each for each in (own, folder / NAME) if each.is_file()), None)
        kept = {*_ALWAYS, *(name for each in (path, file) if each and (name := inside(folder, each)))}
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
            _may_match_below(pattern.text, below) for pattern in self.patterns if pattern.again
        )


def inside(folder: Path, path: Path) -> str | None:
    """The path's name in the folder, or None if it lies outside. A link counts where it is, not where it leads."""
    root = folder.resolve()
    place = path.parent.resolve() / path.name
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


def _may_match_below(pattern: str, below: str) -> bool:
    wild = _WILD.search(pattern)
    literal = pattern[: wild.start()] if wild else pattern
    return literal.startswith(below) or (wild is not None and below.startswith(literal))


def _matcher(text: str) -> Callable[[str], bool]:
    """moby's three short cuts differ from its expressions, so they are kept: `**x` is any path that ends in x, and
    `a**` any that begins with a, slashes or not."""
    if text.startswith("**") and not _WILD.search(text[2:]):
        tail = text[2:]
        return lambda path: path.endswith(tail) or (path == tail[1:] and tail.startswith("/"))
    if text.endswith("**") and not _WILD.search(text[:-2]):
        return lambda path: path.startswith(text[:-2])
    if not _WILD.search(text):
        return lambda path: path == text
    expression = re.compile(_expression(text), re.DOTALL)
    return lambda path: expression.fullmatch(path) is not None


def _expression(text: str) -> str:
    out, at = "", 0
    while at < len(text):
        if text.startswith("**", at):
            at += 3 if text.startswith("/", at + 2) else 2
            out += "(?:.*/)?" if at < len(text) else ".*"
            continue
        character = text[at]
        at += 1
        if character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "[":
            group, at = _group(text, at)
            out += group
        elif character == "\\":
            if at == len(text):
                raise ValueError("\\ at the end")
            out += re.escape(text[at])
            at += 1
        else:
            out += re.escape(character)
    return out


def _group(text: str, at: int) -> tuple[str, int]:
    """`[...]` as Go's filepath.Match has it: `^` negates, `!` does not, `\\` escapes, an empty one is malformed."""
    negated = text.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while True:
        if text.startswith("]", at) and ranges:
            return f"[{'^' if negated else ''}{''.join(ranges)}]", at + 1
        low, at = _member(text, at)
        high = low
        if text.startswith("-", at):
            high, at = _member(text, at + 1)
        if low > high:
            raise ValueError(f"the range {low}-{high} is empty")
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")


def _member(text: str, at: int) -> tuple[str, int]:
    if text.startswith("\\", at):
        at += 1
    elif text[at : at + 1] in ("-", "]"):
        raise ValueError("malformed [...]")
    if at >= len(text):
        raise ValueError("[ without ]")
    return text[at], at + 1

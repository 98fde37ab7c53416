"""The files of a build's context, listed once, lazily and within bounds; never one from outside of the folder."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from linters.context.patterns import MalformedPattern, Patterns, ignore_file

MOST = 20_000
"""Entries that are looked at; what lies behind them is not judged."""
DEEPEST = 64
_MOST_SEARCHES = 200
"""Patterns of COPY that are looked for; a file with more of them is nobody's."""
LARGEST_IGNORE = 1 << 20
MOST_PATTERNS = 1000
"""Lines of a .dockerignore; each is compared with each entry."""
_OPAQUE = frozenset({".git", "node_modules", ".venv", "venv", "__pycache__"})
"""Folders that others fill: whether they are there counts, not what they hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """An entry of the context by its relative path with `/`: a file of so many bytes, or one of the folders that are
    not looked into."""

    path: str
    size: int = 0
    folder: bool = False


class Context:
    """One folder. Nothing is read before it is asked for, and no failure to read is more than an answer less."""

    def __init__(self, folder: Path, dockerfile: Path | None = None) -> None:
        self.folder = folder
        self._dockerfile = dockerfile or folder / "Dockerfile"
        self._count = 0
        self._searches = 0
        self._taken: dict[tuple[str, tuple[str, ...]], tuple[File, ...]] = {}

    @cached_property
    def ignore(self) -> Path | None:
        """The file that says what is left out, or None."""
        return ignore_file(self.folder, self._dockerfile)

    @cached_property
    def patterns(self) -> Patterns | None:
        """What is left out; None where the file that says so cannot be read, and so nothing can be told."""
        if self.ignore is None:
            return Patterns()
        try:
            with self.ignore.open("rb") as source:
                text = source.read(LARGEST_IGNORE + 1)
            if len(text) > LARGEST_IGNORE or text.count(b"\n") > MOST_PATTERNS:
                return None
            return Patterns.parse(text.decode("utf-8-sig"))
        except (OSError, UnicodeDecodeError, MalformedPattern):
            return None

    @property
    def complete(self) -> bool:
        """Whether the listing came to its end; ask after `files`."""
        return self._count <= MOST

    @cached_property
    def files(self) -> tuple[File, ...]:
        """What the build is sent, in order of names."""
        if self.patterns is None:
            return ()
        return tuple(self._below("", self.patterns, 0))

    def taken(self, source: str, excluded: Iterable[str] = ()) -> tuple[File, ...]:
        """What a COPY of `source`, which may be a pattern, takes; `excluded` are the patterns of its --exclude."""
        key = source, tuple(excluded)
        if key not in self._taken:
            self._taken[key] = tuple(self._of(*key))
        return self._taken[key]

    @cached_property
    def _index(self) -> dict[str, list[File]]:
        """The files by their paths and by each folder above them; all of them under the empty path."""
        index: dict[str, list[File]] = {"": list(self.files)}
        for file in self.files:
            path = file.path
            while path:
                index.setdefault(path, []).append(file)
                path = path.rpartition("/")[0]
        return index

    def _of(self, source: str, excluded: tuple[str, ...]) -> Iterator[File]:
        root = posixpath.normpath("/" + source).lstrip("/")
        try:
            without = Patterns.of(excluded)
        except MalformedPattern:
            return
        wild = any(char in root for char in "*?[")
        for file in self._matching(root) if wild else self._index.get(root, ()):
            inner = file.path[len(root) :].lstrip("/") if not wild else file.path
            # The reference leaves open what a pattern is relative to; what one of both readings leaves out is out.
            if without.excludes(file.path) or (inner and without.excludes(inner)):
                continue
            yield file

    def _matching(self, pattern: str) -> Iterator[File]:
        self._searches += 1
        if self._searches <= _MOST_SEARCHES:
            yield from (file for file in self.files if _under_pattern(file.path, pattern))

    def read(self, path: str, most: int) -> str | None:
        """As `read_bytes`, as text with stray bytes as U+FFFD."""
        data = self.read_bytes(path, most)
        return None if data is None else data.decode("utf-8", errors="replace")

    def read_bytes(self, path: str, most: int) -> bytes | None:
        """The first `most` bytes of a file; None where it is left out or unreadable, or where a link leads out of the
        folder."""
        clean = posixpath.normpath(path)
        if clean.startswith(("/", "..")) or self.patterns is None or self.patterns.excludes(clean):
            return None
        try:
            place = (self.folder / clean).resolve(strict=True)
            if not place.is_relative_to(self.folder.resolve()):
                return None
            # A device or a pipe would be waited for.
            descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                return file.read(most)
        except (OSError, ValueError):
            return None

    def _below(self, prefix: str, patterns: Patterns, depth: int) -> Iterator[File]:
        try:
            with os.scandir(self.folder / prefix) as found:
                items = sorted(found, key=lambda item: item.name)
        except OSError:
            return
        for item in items:
            self._count += 1
            if self._count > MOST or depth > DEEPEST:
                return
            path = prefix + item.name
            out = patterns.excludes(path)
            try:
                if item.is_dir(follow_symlinks=False):
                    if item.name in _OPAQUE:
                        if not out:
                            yield File(path=path, folder=True)
                    elif not out or patterns.may_hold(path):
                        yield from self._below(path + "/", patterns, depth + 1)
                elif not out and item.is_file(follow_symlinks=False):
                    yield File(path=path, size=item.stat(follow_symlinks=False).st_size)
            except OSError:
                continue


def _under_pattern(path: str, pattern: str) -> bool:
    """Whether a path, or a folder above it, is matched; `*` does not go over a slash."""
    count = pattern.count("/") + 1
    parts = path.split("/")
    if len(parts) < count:
        return False
    return all(
        fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(parts[:count], pattern.split("/"), strict=True)
    )

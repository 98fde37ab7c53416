"""COPY and ADD: which paths of the image they make, and from what."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from linters.dockerfile import Heredoc
from linters.stages import Step

_ARCHIVE = re.compile(r"\.(?:tar|tgz|tbz2?|txz|tar\.(?:gz|bz2|xz|zst))$")
_REMOTE = re.compile(r"(?:https?|git|ssh)://|git@", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Copy:
    """A COPY or ADD. `sources` are expanded, None for what cannot be told; `destination` is absolute and clean, and
    begins with `?` where it hangs on the base image's folder; `folder` says that it is surely one."""

    step: Step
    sources: tuple[str | None, ...]
    destination: str
    folder: bool
    origin: str | None = None
    excluded: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def from_context(self) -> bool:
        """Whether it takes files of the build's context."""
        return self.step.instruction.flag("from") is None

    @property
    def local_sources(self) -> tuple[str, ...]:
        """The sources that are known and lie in the context."""
        if not self.from_context:
            return ()
        return tuple(one for one in self.sources if one is not None and not _REMOTE.match(one))

    def files(self) -> tuple[str, ...]:
        """The files that it makes, as far as their names can be told."""
        found = []
        for source in self.sources:
            if source is None or any(char in source for char in "*?[") or source.rstrip("/") in ("", ".", ".."):
                continue
            if self.step.instruction.keyword == "ADD" and _ARCHIVE.search(source) and not _REMOTE.match(source):
                continue
            name = posixpath.basename(source.rstrip("/"))
            inside = posixpath.normpath(posixpath.join(self.destination, name))
            found.append(inside if self.folder else self.destination)
            if not self.folder and "." in name:
                # The destination may be a folder that is there already; the file then lies inside it.
                found.append(inside)
        return tuple(found)

    def sources_of(self, path: str) -> Iterator[str]:
        """Where the file at `path` of the image may come from; what is there decides."""
        relative = posixpath.relpath(path, self.destination) if path.startswith("/") and self._known else ""
        if not relative or relative.startswith("..") or self.step.instruction.flag("parents"):
            return
        for source in self.sources:
            if source is None or _REMOTE.match(source):
                continue
            base = posixpath.basename(source.rstrip("/"))
            if relative == ".":
                yield source
            elif any(char in base for char in "*?["):
                first, _, _ = relative.partition("/")
                if fnmatch.fnmatchcase(first, base):
                    yield posixpath.normpath(posixpath.join(posixpath.dirname(source), relative))
            else:
                if relative == base:
                    yield source
                yield posixpath.normpath(posixpath.join(source, relative))

    @property
    def _known(self) -> bool:
        return self.destination.startswith("/")


def copy_of(step: Step) -> Copy | None:
    """What a COPY or ADD does; None where its destination cannot be told."""
    instruction = step.instruction
    words = instruction.exec_form or tuple(word.text for word in instruction.words)
    if len(words) < 2:
        return None
    destination = step.path(words[-1])
    if destination is None:
        return None
    marks = {heredoc.start for heredoc in instruction.heredocs}
    places = [word.start for word in instruction.words]
    sources = [text for text, place in zip(words[:-1], places, strict=False) if place not in marks]
    origin = instruction.flag("from")
    return Copy(
        step=step,
        sources=tuple(step.expand(source) for source in sources),
        destination=posixpath.normpath(destination).replace("//", "/"),
        folder=words[-1].endswith(("/", "/.")) or words[-1] in (".", "..") or len(words) > 2,
        origin=step.expand(origin.value) if origin and origin.value else None,
        excluded=tuple(flag.value for flag in instruction.flags if flag.name == "exclude" and flag.value),
        heredocs=instruction.heredocs,
    )

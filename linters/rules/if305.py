"""IF305: a file is copied in one layer and removed in a later one, which removes nothing."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator

from linters.copies import copy_of
from linters.model import Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script
from linters.shell import Command
from linters.stages import Step


def _check(subject: Subject) -> Iterator[Hit]:
    copied: dict[str, Step] = {}
    for step in subject.plan.steps("COPY", "ADD", "RUN"):
        if step.instruction.keyword == "RUN":
            for script in subject.scripts(step):
                yield from _removed(script, copied)
        else:
            copy = copy_of(step)
            for path in copy.files() if copy else ():
                copied[path] = step


def _removed(script: Script, copied: dict[str, Step]) -> Iterator[Hit]:
    folder = script.step.workdir
    for command in script.commands:
        argv = unwrap(command.argv)
        if not argv:
            continue
        if name_of(argv[0]) == "cd":
            folder = posixpath.join(folder, argv[1]) if len(argv) > 1 else "?"
        elif name_of(argv[0]) in ("rm", "unlink"):
            path = _first_hit(argv[1:], folder, copied)
            if path is not None:
                yield _hit(script, command, path, copied.pop(path))


def _first_hit(words: tuple[str, ...], folder: str, copied: dict[str, Step]) -> str | None:
    for word in words:
        if word.startswith("-") or "$" in word:
            continue
        pattern = posixpath.normpath(posixpath.join(folder, word))
        if pattern in copied:
            return pattern
        if any(char in word for char in "*?["):
            for path in copied:
                if path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern):
                    return path
    return None


def _hit(script: Script, command: Command, path: str, step: Step) -> Hit:
    line = step.instruction.line
    return Hit(
        span=script.span_of(command),
        message=f"{path.removeprefix('?/')} stays in the layer of line {line}, and removing it here saves nothing",
        fix="RUN --mount=type=bind,source=…,target=… lends a file to one RUN; or use it in a build stage",
    )


RULE = Rule(
    id="IF305",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="A copied file is not removed in a later layer",
    check=_check,
)

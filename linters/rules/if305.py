"""IF305: a file is copied in one layer and removed in a later one, which removes nothing."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Iterator

from linters import edits
from linters.copies import copy_of
from linters.model import Edit, Principle, Severity
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
                yield from _removed(subject, script, copied)
        else:
            copy = copy_of(step)
            for path in copy.files() if copy else ():
                copied[path] = step


def _removed(subject: Subject, script: Script, copied: dict[str, Step]) -> Iterator[Hit]:
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
                yield _hit(subject, script, command, path, copied.pop(path))


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


def _hit(subject: Subject, script: Script, command: Command, path: str, step: Step) -> Hit:
    line = step.instruction.line
    return Hit(
        span=script.span_of(command),
        message=f"{path.removeprefix('?/')} stays in the layer of line {line}, and removing it here saves nothing",
        severity=Severity.INFO if subject.squashed else None,
        edits=_changes(subject, script, command, path, step),
        fix="RUN --mount=type=bind,source=…,target=… lends a file to one RUN; or use it in a build stage",
    )


def _changes(subject: Subject, script: Script, command: Command, path: str, step: Step) -> tuple[Edit, ...]:
    """The COPY gone, its file lent to the RUN right behind it, and the removal at the end left out, since what is lent
    cannot be removed. Nothing where one of them does more than that."""
    run, source = script.step.instruction, step.instruction
    index = script.commands.index(command)
    words = [word for word in command.argv[1:] if not word.startswith("-")]
    plain = len(source.words) == 2 and not source.heredocs and source.exec_form is None and run.exec_form is None
    adjacent = script.step.stage == step.stage and source.end_line < run.line and not run.comments
    between = subject.dockerfile.lines[source.end_line : run.line - 1]
    if not plain or run.heredocs or not adjacent or any(line.strip() for line in between) or len(words) != 1:
        return ()
    if source.keyword != "COPY" or {flag.name for flag in source.flags} - {"from"} or not path.startswith("/"):
        return ()
    before = script.commands[index - 1] if index else None
    if before is None or before.after != "&&" or before.redirected or command is not script.commands[-1]:
        return ()
    origin = source.flag("from")
    lent = f"type=bind,{f'from={origin.value},' if origin else ''}source={source.words[0].text},target={path}"
    if any(char in lent for char in " $\"'*?[\\") or command.redirected or command.after:
        return ()
    gone = edits.in_script(subject.dockerfile, script, before.end, command.end, "")
    changes = (
        *edits.removed(subject.dockerfile, source),
        *edits.inserted(subject.dockerfile, run, run.keyword_end, f" --mount={lent}"),
        *gone,
    )
    return changes if len(changes) == 3 else ()


RULE = Rule(
    id="IF305",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="A copied file is not removed in a later layer",
    check=_check,
)

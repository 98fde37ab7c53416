"""IF304: files that were copied in one layer are written again in another, to change who owns them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from linters import edits
from linters.copies import Copy, copy_of
from linters.model import Edit, Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script
from linters.shell import Command
from linters.stages import Step

_PROGRAMS = {"chown": "--chown", "chmod": "--chmod"}
_OWNERS = re.compile(r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+$")
_MODE = re.compile(r"[0-7]{3,4}$")
# Folders that a base image has: a COPY into one of them adds to what is there.
_THERE = re.compile(r"/(?:bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)(?:/|$)")


_Covering = dict[tuple[str, str], Copy]
"""The first COPY that writes to a folder or below it, by the flag that it would need and lacks."""


def _check(subject: Subject) -> Iterator[Hit]:
    covering: _Covering = {}
    previous: Step | None = None
    for step in subject.plan.steps():
        keyword = step.instruction.keyword
        if keyword == "RUN":
            for script in subject.scripts(step):
                yield from _rewritten(subject, script, covering, previous)
        elif keyword in ("COPY", "ADD"):
            copy = copy_of(step)
            if copy is not None and copy.destination.startswith("/"):
                _cover(covering, copy)
        previous = step


def _cover(covering: _Covering, copy: Copy) -> None:
    flags = [flag for flag in _PROGRAMS.values() if copy.step.instruction.flag(flag[2:]) is None]
    path = copy.destination
    while path != "/":
        for flag in flags:
            covering.setdefault((flag, path), copy)
        path = posixpath.dirname(path)


def _rewritten(subject: Subject, script: Script, covering: _Covering, previous: Step | None) -> Iterator[Hit]:
    folder = script.step.workdir
    for command in script.commands:
        argv = unwrap(command.argv)
        program = name_of(argv[0]) if argv else ""
        plain = [word for word in argv[1:] if not word.startswith("-")]
        if program == "cd":
            folder = posixpath.join(folder, plain[0]) if plain and "$" not in plain[0] else "?"
        elif program in _PROGRAMS and _recursive(argv) and len(plain) > 1:
            found = _copied(plain[1:], folder, covering, program)
            if found is not None:
                path, copy = found
                yield _hit(subject, script, command, path, copy, previous)
                return


def _recursive(argv: tuple[str, ...]) -> bool:
    return any(word == "--recursive" or (re.match(r"-[A-Za-z]*R", word) is not None) for word in argv[1:])


def _copied(paths: list[str], folder: str, covering: _Covering, program: str) -> tuple[str, Copy] | None:
    """The first of the paths that a COPY made, or below which one did; one that named its owner there is left out."""
    for word in paths:
        if not any(char in word for char in "$*?["):
            path = posixpath.normpath(posixpath.join(folder, word))
            copy = covering.get((_PROGRAMS[program], path))
            if copy is not None:
                return path, copy
    return None


def _hit(subject: Subject, script: Script, command: Command, path: str, copy: Copy, previous: Step | None) -> Hit:
    program = name_of(unwrap(command.argv)[0])
    keyword = copy.step.instruction.keyword
    changes, safe = _changes(subject, script, command, path, copy, previous)
    return Hit(
        span=script.span_of(command),
        message=f"{program} -R on {path} writes what line {copy.step.instruction.line} has copied a second time",
        fix=f"write {keyword} {_PROGRAMS[program]}=… there, and leave {program} out",
        severity=Severity.INFO if subject.squashed else None,
        edits=changes,
        safe=safe,
    )


def _changes(
    subject: Subject, script: Script, command: Command, path: str, copy: Copy, previous: Step | None
) -> tuple[tuple[Edit, ...], bool]:
    """The flag at the COPY, and the RUN gone: where it does nothing else, and stands right behind. It is safe where the
    folder is surely the COPY's own, and the owner is written out with its group."""
    instruction, source = script.step.instruction, copy.step.instruction
    argv = command.argv
    alone = len(script.commands) == 1 and len(argv) == 4 and argv[1] in ("-R", "--recursive") and not command.redirected
    if not alone or copy.step is not previous or path != copy.destination or instruction.flags or instruction.comments:
        return (), False
    owner = argv[2]
    if not (_OWNERS if argv[0] == "chown" else _MODE).match(owner) or source.heredocs or instruction.heredocs:
        return (), False
    changes = (
        *edits.inserted(subject.dockerfile, source, source.keyword_end, f" {_PROGRAMS[argv[0]]}={owner}"),
        *edits.removed(subject.dockerfile, instruction),
    )
    if len(changes) != 2:
        return (), False
    earlier = "".join(subject.dockerfile.lines[: source.line - 1])
    own = not _THERE.match(path) and path not in earlier and source.keyword == "COPY"
    # A mode for all is one for folders too, which chmod -R of 644 breaks and --chmod does not.
    return changes, own and argv[0] == "chown"


RULE = Rule(
    id="IF304",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="Files are copied with their owner",
    check=_check,
)

"""IF204: something is written below a VOLUME that was declared before."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from linters import edits
from linters.copies import copy_of
from linters.dockerfile import Span
from linters.model import Edit, Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script
from linters.stages import Step

# Programs that write to the paths they are given: to the last one, or to all of them.
_TO_LAST = frozenset({"cp", "mv", "ln", "install", "rsync"})
_TO_ALL = frozenset({"mkdir", "touch", "chown", "chmod", "chgrp", "tee", "rm"})


def _check(subject: Subject) -> Iterator[Hit]:
    volumes: dict[str, Step] = {}
    found: list[tuple[Span, str, Step]] = []
    for step in subject.plan.steps("VOLUME", "COPY", "ADD", "RUN"):
        if step.instruction.keyword == "VOLUME":
            volumes |= {path: step for path in volume_paths(step)}
        elif volumes:
            found += ((where, volume, step) for where, volume in _below(subject, step, volumes))
    last = {volume: step for _, volume, step in found}
    told: set[str] = set()
    for where, volume, _ in found:
        changes = () if volume in told else _moved(subject, volumes[volume], last[volume])
        told.add(volume)
        yield Hit(
            span=where,
            message=f"this writes below {volume}, a volume since line {volumes[volume].instruction.line}: some builders"
            " drop it, and a volume that is in use hides it",
            fix=f"move VOLUME {volume} behind it, or leave VOLUME out and mount at deploy",
            edits=changes,
        )


def _moved(subject: Subject, declared: Step, last: Step) -> tuple[Edit, ...]:
    """The VOLUME behind the last instruction that writes there, in the same stage."""
    dockerfile, instruction = subject.dockerfile, declared.instruction
    lines = dockerfile.lines[instruction.line - 1 : instruction.end_line]
    if declared.stage != last.stage or instruction.comments or len(lines) != 1 or not lines[0].endswith("\n"):
        return ()
    place = dockerfile.offset(last.instruction.end_line + 1, 1)
    start = "" if dockerfile.lines[last.instruction.end_line - 1].endswith("\n") else "\n"
    return (*edits.removed(dockerfile, instruction), Edit(start=place, end=place, text=start + lines[0]))


def volume_paths(step: Step) -> Iterator[str]:
    """The paths that a VOLUME declares, as far as they can be told."""
    words = step.instruction.exec_form or tuple(word.text for word in step.instruction.words)
    for word in words:
        path = step.path(word)
        if path is not None and path.startswith("/"):
            yield posixpath.normpath(path).replace("//", "/")


def _below(subject: Subject, step: Step, volumes: dict[str, Step]) -> Iterator[tuple[Span, str]]:
    if step.instruction.keyword != "RUN":
        copy = copy_of(step)
        volume = _volume_of(copy.destination, volumes) if copy else None
        if volume is not None:
            words = step.instruction.words
            yield step.instruction.span(words[-1].start, words[-1].end), volume
        return
    for script in subject.scripts(step):
        yield from _written(script, volumes)


def _written(script: Script, volumes: dict[str, Step]) -> Iterator[tuple[Span, str]]:
    folder = script.step.workdir
    for command in script.commands:
        argv = unwrap(command.argv)
        program = name_of(argv[0]) if argv else ""
        paths = [word for word in argv[1:] if not word.startswith("-")]
        if program == "cd":
            folder = posixpath.join(folder, paths[0]) if paths and "$" not in paths[0] else "?"
        elif program in _TO_LAST or program in _TO_ALL:
            for word in paths[-1:] if program in _TO_LAST else paths:
                volume = (
                    _volume_of(posixpath.normpath(posixpath.join(folder, word)), volumes) if "$" not in word else None
                )
                if volume is not None:
                    yield script.span_of(command), volume
                    break


def _volume_of(path: str, volumes: dict[str, Step]) -> str | None:
    while path not in volumes:
        if path in ("/", "") or not path.startswith("/"):
            return None
        path = posixpath.dirname(path)
    return path


RULE = Rule(
    id="IF204",
    severity=Severity.WARNING,
    principle=Principle.IMMUTABLE,
    title="Nothing is written below a declared volume",
    check=_check,
)

"""IF106: the program runs as the child of a shell, which keeps the signals to itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from linters import edits
from linters.model import Edit, Principle, Severity
from linters.programs import name_of
from linters.rule import Hit, Rule, Subject
from linters.stages import DEFAULT_SHELL, Step

# What a shell does itself: no program of that name need be there.
_BUILTINS = frozenset(
    {
        *(
            "cd",
            "set",
            "unset",
            "export",
            "source",
            ".",
            ":",
            "eval",
            "exec",
            "trap",
            "wait",
            "umask",
            "ulimit",
            "alias",
        ),
        *(
            "type",
            "read",
            "return",
            "exit",
            "shift",
            "times",
            "command",
            "local",
            "if",
            "for",
            "while",
            "until",
            "case",
        ),
        *("{", "(", "!", "[[", "function", "time", "hash", "jobs", "fg", "bg"),
    }
)
# Words that mean the same to a shell and to exec.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./\s-]+$")


def _check(subject: Subject) -> Iterator[Hit]:
    step = subject.entry.main
    if step is None or step.instruction.exec_form is not None:
        return
    scripts = subject.entry.scripts
    if not scripts or not scripts[0].commands or name_of(scripts[0].commands[-1].argv[0]) == "exec":
        return
    instruction = step.instruction
    start = instruction.arguments_start
    words = _plain_words(step)
    changes: tuple[Edit, ...] = ()
    if words:
        end = start + len(instruction.arguments)
        changes = edits.replaced(subject.dockerfile, instruction, start, end, json.dumps(words))
    yield Hit(
        span=instruction.span(start, start + len(instruction.arguments)),
        message=f"{instruction.keyword} in shell form puts a shell before the program, which may not pass SIGTERM on",
        fix=f"write {instruction.keyword} {json.dumps(words)}" if words else _with_shell(step),
        edits=changes,
        # A CMD that had no say becomes the arguments of an ENTRYPOINT in exec form.
        safe=bool(changes) and step.shell == DEFAULT_SHELL and _stands_alone(subject),
    )


def _plain_words(step: Step) -> list[str]:
    """The words that exec form needs, where a shell would make nothing else of them; empty where it would."""
    words = step.instruction.arguments.split()
    if not _PLAIN.match(step.instruction.arguments) or "=" in words[0] or words[0] in _BUILTINS:
        return []
    return words


def _with_shell(step: Step) -> str:
    return f'write {step.instruction.keyword} ["sh", "-c", "exec …"], or put `exec` before the last command'


def _stands_alone(subject: Subject) -> bool:
    entry = subject.entry
    return entry.entrypoint is None or entry.command is None


RULE = Rule(
    id="IF106",
    severity=Severity.WARNING,
    principle=Principle.ONE_PROCESS,
    title="The start command is in exec form",
    check=_check,
    covers=frozenset({"DL3025"}),
)

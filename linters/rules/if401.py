"""IF401: the image says that its program runs as root."""

from __future__ import annotations

from collections.abc import Iterator

from linters.entry import Entry
from linters.model import Principle, Severity
from linters.programs import DROPPERS, name_of
from linters.rule import Hit, Rule, Subject

_FIX = "add USER 10001 (any number but 0) as the last USER"


def _check(subject: Subject) -> Iterator[Hit]:
    step = subject.plan.last("USER")
    if step is None:
        return
    user = step.expand(step.instruction.arguments)
    if user is None or user.partition(":")[0].lower() not in ("root", "0") or drops_privilege(subject.entry):
        return
    instruction = step.instruction
    scripted = starts_a_script(subject.entry)
    yield Hit(
        span=instruction.span(instruction.arguments_start, instruction.arguments_start + len(instruction.arguments)),
        message=f"the container's program runs as {user}"
        + (", unless its start script changes that" if scripted else ", expected another user"),
        fix=_FIX,
        severity=Severity.WARNING if scripted else None,
    )


def drops_privilege(entry: Entry) -> bool:
    """Whether the start command names a program that changes to another user."""
    words = {name_of(word) for word in entry.argv or ()}
    for script in entry.scripts:
        for command in script.commands:
            words |= {name_of(word) for word in command.argv}
    return bool(words & DROPPERS)


def starts_a_script(entry: Entry) -> bool:
    """Whether the program is a shell script of the image's own, which may do what the file does not show."""
    main = entry.main
    argv = main.instruction.exec_form if main is not None else None
    program = argv[0] if argv else (main.instruction.arguments.split() or [""])[0] if main is not None else ""
    return program.endswith((".sh", ".bash", "entrypoint", "entrypoint-wrapper"))


RULE = Rule(
    id="IF401",
    severity=Severity.ERROR,
    principle=Principle.NON_ROOT,
    title="A container's program does not run as root",
    check=_check,
    covers=frozenset({"DL3002"}),
)

"""IF106: the program runs as the child of a shell, which keeps the signals to itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.programs import name_of
from linters.rule import Hit, Rule, Subject
from linters.stages import Step

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
    yield Hit(
        span=instruction.span(start, start + len(instruction.arguments)),
        message=f"{instruction.keyword} in shell form puts a shell in front of the program, where SIGTERM may end",
        fix=_fix(step),
    )


def _fix(step: Step) -> str:
    arguments = " ".join(step.instruction.arguments.split())
    if _PLAIN.match(arguments) and "=" not in arguments.split()[0]:
        return f"write {step.instruction.keyword} {json.dumps(arguments.split())}"
    return f'write {step.instruction.keyword} ["sh", "-c", "exec …"], or put `exec` before the last command'


RULE = Rule(
    id="IF106",
    severity=Severity.WARNING,
    principle=Principle.ONE_PROCESS,
    title="The start command is in exec form",
    check=_check,
    covers=frozenset({"DL3025"}),
)

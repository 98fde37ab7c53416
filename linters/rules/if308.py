"""IF308: the package lists are fetched in a RUN of their own."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.packages import Verb, call_of
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script
from linters.stages import mount_options

# Commands that install nothing, so that an update beside them is still one alone.
_IDLE = frozenset({"echo", "sed", "rm", "set", "true", ":", "mkdir", "export", "cd", "cp", "mv", "ls", "date"})


def _check(subject: Subject) -> Iterator[Hit]:
    for script in subject.run_scripts():
        if any(_is_cache(flag.value) for flag in script.step.instruction.flags):
            continue
        yield from _alone(script)


def _is_cache(value: str | None) -> bool:
    return mount_options(value or "").get("type") == "cache"


def _alone(script: Script) -> Iterator[Hit]:
    updates = []
    for command in script.commands:
        call = call_of(command)
        if call is not None and call.verb is Verb.UPDATE:
            updates.append(command)
        elif call is None or call.verb is not Verb.CLEAN:
            argv = unwrap(command.argv)
            if not argv or name_of(argv[0]) not in _IDLE:
                return
    for command in updates[:1]:
        said = " ".join(word.text for word in command.words[:2])
        yield Hit(
            span=script.span_of(command),
            message=f"`{said}` alone is cached, and a later install works from old lists",
            fix="join it with the install that needs it: && in one RUN",
        )


RULE = Rule(
    id="IF308",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="Package lists are fetched where they are used",
    check=_check,
)

"""IF404: sudo in the image."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters import edits
from linters.model import Edit, Principle, Severity
from linters.packages import Verb, bare_name
from linters.programs import name_of
from linters.rule import Hit, Rule, Subject
from linters.scripts import Script
from linters.user import UserKind, user_of

_WORKSHOP = re.compile(r"(?:^|[-_.])(?:dev|devel|development|devcontainer)(?:$|[-_.])")


def _check(subject: Subject) -> Iterator[Hit]:
    if _WORKSHOP.search(subject.plan.target.name or ""):
        return
    for script in subject.run_scripts():
        yield from _in_run(subject, script)
    for script in subject.entry.scripts:
        yield from _used(subject, script)
    argv = subject.entry.argv
    if argv and name_of(argv[0]) == "sudo":
        step, index = subject.entry.origin(0)
        word = step.instruction.words[index]
        yield Hit(span=step.instruction.span(word.start, word.end), message=_USED, fix="start the program as its USER")


_USED = "sudo gives the program a way back to root"


def _in_run(subject: Subject, script: Script) -> Iterator[Hit]:
    for call in subject.calls(script):
        for word in call.command.words:
            if call.verb is Verb.INSTALL and bare_name(word.text) == "sudo" and "sudo" in call.packages:
                yield Hit(
                    span=script.span(word.start, word.end),
                    message="sudo is installed, a way back to root for whoever gets into the container",
                    fix="leave it out; do what needs root in RUN before the last USER",
                )
    position = script.text.find("NOPASSWD")
    if position >= 0:
        yield Hit(
            span=script.span(position, position + len("NOPASSWD")),
            message="NOPASSWD makes every program of that user root",
            fix="leave sudo out; do what needs root in RUN before the last USER",
        )
    yield from _used(subject, script)


def _used(subject: Subject, script: Script) -> Iterator[Hit]:
    for command in script.commands:
        if name_of(command.words[0].text) == "sudo":
            word = command.words[0]
            yield Hit(
                span=script.span(word.start, word.end),
                message=_USED,
                fix="a RUN before USER is root already: write the command without sudo",
                edits=(changes := _without(subject, script)),
                safe=bool(changes) and user_of(subject.plan, before=script.step).kind is UserKind.ROOT,
            )
            return


def _without(subject: Subject, script: Script) -> tuple[Edit, ...]:
    """Each sudo of the script gone, where it stands plainly before its command."""
    if script.step.instruction.keyword != "RUN":
        return ()
    changes: list[Edit] = []
    for command in script.commands:
        if name_of(command.words[0].text) != "sudo":
            continue
        following = command.words[1] if len(command.words) > 1 else None
        if following is None or following.text.startswith("-") or "=" in following.text:
            return ()
        change = edits.in_script(subject.dockerfile, script, command.start, following.start, "")
        if not change:
            return ()
        changes += change
    return tuple(changes)


RULE = Rule(
    id="IF404",
    severity=Severity.WARNING,
    principle=Principle.NON_ROOT,
    title="An image has no sudo",
    check=_check,
    covers=frozenset({"DL3004", "DL3001"}),
)

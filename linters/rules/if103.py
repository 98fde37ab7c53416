"""IF103: a RUN starts a service, as if it went on running."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.rules.if101 import starts_supervisor
from linters.rules.if102 import started_service
from linters.shell import Command

# What does nothing with a service that was started just before.
_IDLE = frozenset({"echo", "true", ":", "rm", "sleep", "exit", "ls"})


def _check(subject: Subject) -> Iterator[Hit]:
    if starts_supervisor(subject):  # an image that boots like a machine
        return
    for script in subject.run_scripts():
        for index, command in enumerate(script.commands):
            service = _service(command)
            if service is not None and _is_last(script.commands[index + 1 :]):
                yield Hit(
                    span=script.span_of(command),
                    message=f"the service {service} ends with this RUN: a layer keeps files, not processes",
                    fix="let CMD start the program; start, use and stop it in one RUN where the build needs it",
                )


def _service(command: Command) -> str | None:
    argv = unwrap(command.argv)
    if len(argv) > 2 and name_of(argv[0]) == "systemctl" and "enable" in argv[1:]:
        return argv[-1]
    return started_service(command)


def _is_last(later: tuple[Command, ...]) -> bool:
    programs = (unwrap(command.argv) for command in later)
    return all(
        argv and (name_of(argv[0]) in _IDLE or _service(command) is not None)
        for argv, command in zip(programs, later, strict=True)
    )


RULE = Rule(
    id="IF103",
    severity=Severity.INFO,
    principle=Principle.ONE_PROCESS,
    title="A RUN starts no service for later",
    check=_check,
    covers=frozenset({"DL3001"}),
)

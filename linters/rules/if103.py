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
        found = []
        for command in reversed(script.commands):
            service = _service(command)
            argv = unwrap(command.argv)
            if service is not None:
                found.append((command, service))
            elif not argv or name_of(argv[0]) not in _IDLE:
                break
        for command, service in reversed(found):
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


RULE = Rule(
    id="IF103",
    severity=Severity.INFO,
    principle=Principle.ONE_PROCESS,
    title="A RUN starts no service for later",
    check=_check,
    covers=frozenset({"DL3001"}),
)

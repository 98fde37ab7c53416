"""IF102: the start command puts a process into the background and goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linters.model import Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.shell import Command

_STARTING = frozenset({"start", "restart"})
_FIX = "give each process an image of its own; end with `exec` and the one that stays"


def _check(subject: Subject) -> Iterator[Hit]:
    for script in subject.entry.scripts:
        several = len(script.commands) > 1
        if _hands_on(script.commands):
            continue
        for command in script.commands:
            service = started_service(command)
            if service and several:
                message = f"the start command starts the service {service} beside its own program"
            elif service:
                message = f"the service {service} goes to the background, and the container ends with its start command"
            elif command.after == "&":
                message = f"the start command leaves `{command.words[0].text}` running in the background"
            else:
                continue
            yield Hit(span=script.span_of(command), message=f"{message}, expected one process", fix=_FIX)


def _hands_on(commands: Sequence[Command]) -> bool:
    """Whether the script is there to hand signals on to its one child: `trap … TERM; app & wait $!`."""
    names = [name_of(one.argv[0]) for one in commands]
    return "trap" in names and "wait" in names and sum(one.after == "&" for one in commands) == 1


def started_service(command: Command) -> str | None:
    """The service that a command starts in the background by the distribution's means, or None."""
    argv = unwrap(command.argv)
    if len(argv) < 2:
        return None
    program = name_of(argv[0])
    if program in ("service", "rc-service") and len(argv) > 2 and argv[2] in _STARTING:
        return argv[1]
    if program == "systemctl" and argv[1] in _STARTING and len(argv) > 2:
        return argv[2]
    if argv[0].startswith("/etc/init.d/") and argv[1] in _STARTING:
        return program
    return None


RULE = Rule(
    id="IF102",
    severity=Severity.ERROR,
    principle=Principle.ONE_PROCESS,
    title="The start command leaves nothing in the background",
    check=_check,
    covers=frozenset({"DL3001"}),
)

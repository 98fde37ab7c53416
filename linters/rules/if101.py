"""IF101: the container's program is a process supervisor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linters.model import Principle, Severity
from linters.programs import name_of, started
from linters.rule import Hit, Rule, Subject

_SUPERVISORS = frozenset(
    {
        "supervisord",
        "s6-svscan",
        "runsvdir",
        "runsvdir-start",
        "my_init",
        "circusd",
        "foreman",
        "honcho",
        "goreman",
        "overmind",
        "hivemind",
        "monit",
        "systemd",
    }
)
# By path, because `init` alone may be anybody's own program; /init is where s6-overlay puts its own.
_INITS = frozenset({"/init", "/sbin/init", "/usr/sbin/init", "/bin/systemd", "/etc/runit/2"})
_FIX = "build one image, or one target, for each service and let CMD start that service alone"


def _check(subject: Subject) -> Iterator[Hit]:
    entry = subject.entry
    argv = entry.argv
    if argv:
        inner = started(argv)
        if supervises(inner) and not _is_own(subject, inner[0]):
            step, index = entry.origin(len(argv) - len(inner))
            word = step.instruction.words[index]
            yield Hit(span=step.instruction.span(word.start, word.end), message=_message(inner[0]), fix=_FIX)
    for script in entry.scripts:
        for command in script.commands:
            inner = started(command.argv)
            if supervises(inner) and not _is_own(subject, inner[0]):
                found = command.words[len(command.words) - len(inner)]
                yield Hit(span=script.span(found.start, found.end), message=_message(inner[0]), fix=_FIX)
    inherited = started(entry.whole or ()) if any(entry.inherited) else ()
    if inherited and _is_supervisor(inherited[0]) and not (argv and inherited[0] in argv):
        start = subject.plan.root.start
        word = start.words[0]
        yield Hit(
            span=start.span(word.start, word.end),
            message=_message(inherited[0]) + f", as its base image {subject.plan.base_image} says",
            fix=_FIX,
        )


def starts_supervisor(subject: Subject) -> bool:
    """Whether the container starts a supervisor, which may be a machine's init."""
    return next(_check(subject), None) is not None


def supervises(argv: Sequence[str]) -> bool:
    """Whether a command line, wrappers taken off, starts a supervisor."""
    return bool(argv) and _is_supervisor(argv[0])


def _is_supervisor(program: str) -> bool:
    return program in _INITS or name_of(program) in _SUPERVISORS


def _is_own(subject: Subject, program: str) -> bool:
    """Whether the file copies a program of its own to where a distribution has its init."""
    return program in _INITS and any(program in copy.files() for copy in subject.copies)


def _message(program: str) -> str:
    return f"the container starts {program}, a supervisor of several processes, expected one process"


RULE = Rule(
    id="IF101",
    severity=Severity.ERROR,
    principle=Principle.ONE_PROCESS,
    title="A container starts its program, not a supervisor",
    check=_check,
)

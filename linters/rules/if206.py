"""IF206: the container installs or downloads its program when it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from linters.model import Principle, Severity
from linters.packages import Verb, call_of
from linters.programs import SHELLS, name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.shell import Command, ShellWord

_FIX = "do it in a RUN of the build, and let the container start what is there"


_QUESTIONS = frozenset({"[", "[[", "test", "!", "command", "which", "grep"})
_ONLY_SAYS = frozenset({"--help", "-h", "--version", "--dry-run"})


def _check(subject: Subject) -> Iterator[Hit]:
    entry = subject.entry
    for script in entry.scripts:
        for command, what, guarded in _installing(script.commands):
            severity = Severity.WARNING if guarded else None
            yield Hit(span=script.span_of(command), message=_message(what), fix=_FIX, severity=severity)
    argv = entry.argv
    if argv:
        # What a tool is given to do comes behind it: `ENTRYPOINT ["yarn"]` alone installs nothing.
        bare = entry.command is None and len(unwrap(argv)) == 1
        found = None if bare else _what(_as_command(argv))
        if found:
            step, index = entry.origin(len(argv) - len(unwrap(argv)))
            word = step.instruction.words[index]
            yield Hit(span=step.instruction.span(word.start, word.end), message=_message(found), fix=_FIX)
    yield from _in_script(subject)


def _in_script(subject: Subject) -> Iterator[Hit]:
    """The same in the script that the entry names."""
    script = subject.start
    for command, what, guarded in _installing(script.commands if script else ()):
        if script:
            yield Hit(
                span=script.place,
                message=f"{script.where(command)}: {_message(what)}",
                fix=_FIX,
                severity=Severity.WARNING if guarded else None,
                basis=script.basis,
            )


def _installing(commands: Sequence[Command]) -> Iterator[tuple[Command, str, bool]]:
    """The commands that install, what that is, and whether it is guarded: behind an `if` or a question, or with names
    that come from outside, it is an offer to whoever starts the container, and no more than a warning."""
    previous: Command | None = None
    asked = False
    for command in commands:
        # A question holds for all of the chain of && and || behind it.
        asked = previous is not None and previous.after in ("&&", "||") and (asked or _asks(previous))
        what = _what(command) or (_piped(previous, command) if previous else None)
        if what:
            yield command, what, asked or command.depth > 0 or any("$" in word for word in command.argv)
        previous = command


def _asks(previous: Command) -> bool:
    """Whether what follows depends on a question, such as `[ -d x ] ||`, or on a failure."""
    return previous.after == "||" or (previous.after == "&&" and previous.argv[0] in _QUESTIONS)


def _as_command(argv: tuple[str, ...]) -> Command:
    return Command(words=tuple(ShellWord(text=text, start=0, end=0) for text in argv))


def _what(command: Command) -> str | None:
    call = call_of(command)
    if call is not None and not _ONLY_SAYS.isdisjoint(call.options):
        return None
    if call is not None and call.verb in (Verb.INSTALL, Verb.UPGRADE):
        return f"{call.manager} {call.verb}"
    argv = unwrap(command.argv)
    if len(argv) > 1 and name_of(argv[0]) == "git" and argv[1] in ("clone", "pull"):
        return f"git {argv[1]}"
    return None


def _piped(previous: Command, command: Command) -> str | None:
    if previous.after not in ("|", "|&"):
        return None
    source, sink = unwrap(previous.argv), unwrap(command.argv)
    if source and sink and name_of(source[0]) in ("curl", "wget") and name_of(sink[0]) in SHELLS:
        return f"{name_of(source[0])} | {name_of(sink[0])}"
    return None


def _message(what: str) -> str:
    return f"the container runs `{what}` when it starts, so what runs is not what was built"


RULE = Rule(
    id="IF206",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="Nothing is installed when a container starts",
    check=_check,
)

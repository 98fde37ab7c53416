"""IF401: the image says that its program runs as root."""

from __future__ import annotations

from collections.abc import Iterator

from linters.accounts import accounts
from linters.entry import Entry
from linters.model import Edit, Principle, Severity
from linters.programs import DROPPERS, SHELLS, name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.user import UserKind

_FIX = "add USER 10001 (any number but 0) as the last USER"


def _check(subject: Subject) -> Iterator[Hit]:
    user = subject.user
    if user.kind is not UserKind.ROOT or user.step is None or drops_privilege(subject):
        return
    instruction = user.step.instruction
    # A script whose text is at hand has just been read.
    scripted = starts_a_script(subject.entry) and subject.start is None
    changes = _changes(subject)
    yield Hit(
        span=instruction.span(instruction.arguments_start, instruction.arguments_start + len(instruction.arguments)),
        message=f"the container's program runs as {user.text}"
        + (", unless its start script changes that" if scripted else ", expected another user"),
        fix=f"write {changes[0].text.strip()} as the last USER" if changes else _FIX,
        severity=Severity.WARNING if scripted else None,
        edits=changes,
    )


def drops_privilege(subject: Subject) -> bool:
    """Whether what a container starts, or the script that this names, changes to another user by itself."""
    entry = subject.entry
    words = {name_of(word) for word in (*(entry.whole or ()), *entry.inherited[0])}
    commands = [command for script in entry.scripts for command in script.commands]
    commands += subject.start.commands if subject.start is not None else ()
    for command in commands:
        words |= {name_of(word) for word in command.argv}
        argv = unwrap(command.argv)
        if argv and name_of(argv[0]) == "su" and any(word not in ("-", "root", "-c", "-l") for word in argv[1:2]):
            return True
    return bool(words & DROPPERS)


def starts_a_script(entry: Entry) -> bool:
    """Whether the program is a shell script of the image's own, which may do what the file does not show."""
    if entry.inherited[0]:
        return True
    main = entry.main
    argv = main.instruction.exec_form if main is not None else None
    if not argv:
        argv = tuple(main.instruction.arguments.split()) if main is not None else ()
    inner = unwrap(argv)
    if inner and name_of(inner[0]) in SHELLS:  # `sh start.sh`
        inner = tuple(word for word in inner[1:] if not word.startswith("-"))
    return bool(inner) and inner[0].endswith((".sh", ".bash", "entrypoint", "entrypoint-wrapper"))


def _changes(subject: Subject) -> tuple[Edit, ...]:
    """A USER of an account that the file makes, in a line of its own behind the target's last instruction."""
    made = [
        account
        for script in subject.run_scripts()
        for account in accounts(script.commands)
        if account.uid != 0 and account.name != "root"
    ]
    steps = subject.plan.target.steps
    if len({account.name for account in made}) != 1 or not steps:
        return ()
    account = made[0]
    last = steps[-1].instruction
    main = subject.entry.main or subject.entry.command
    if main is not None and main.stage == subject.plan.target.index:
        last = next((one.instruction for one in reversed(steps) if one.instruction.line < main.instruction.line), last)
    place = subject.dockerfile.offset(last.end_line + 1, 1)
    start = "" if subject.dockerfile.lines[last.end_line - 1].endswith("\n") else "\n"
    user = account.uid if account.uid is not None else account.name
    return (Edit(start=place, end=place, text=f"{start}USER {user}\n"),)


RULE = Rule(
    id="IF401",
    severity=Severity.ERROR,
    principle=Principle.NON_ROOT,
    title="A container's program does not run as root",
    check=_check,
    covers=frozenset({"DL3002"}),
)

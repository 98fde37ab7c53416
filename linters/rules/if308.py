"""IF308: the package lists are fetched in a RUN of their own."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Instruction
from linters.model import Edit, Principle, Severity
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
        yield from _alone(subject, script)


def _is_cache(value: str | None) -> bool:
    return mount_options(value or "").get("type") == "cache"


def _alone(subject: Subject, script: Script) -> Iterator[Hit]:
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
            edits=(changes := _joined(subject, script)),
            safe=bool(changes),
        )


def _joined(subject: Subject, script: Script) -> tuple[Edit, ...]:
    """The next instruction's commands behind this one's, where both are plain chains of && and nothing but blank lines
    stands between them."""
    instructions = subject.dockerfile.instructions
    instruction = script.step.instruction
    index = next((number for number, one in enumerate(instructions) if one is instruction), len(instructions))
    following = instructions[index + 1] if index + 1 < len(instructions) else None
    if following is None or following.keyword != "RUN" or not _is_plain(instruction) or not _is_plain(following):
        return ()
    step = next((one for one in subject.plan.steps("RUN") if one.instruction is following), None)
    later = subject.scripts(step)[:1] if step else ()
    if not later or not any(one.verb is Verb.INSTALL for one in subject.calls(later[0])):
        return ()
    if any(command.after not in ("", "&&") for one in (script, *later) for command in one.commands):
        return ()
    start = subject.dockerfile.offset(*instruction.logical.locate(_end(instruction) - 1)) + 1
    end = subject.dockerfile.offset(*following.logical.locate(following.arguments_start))
    between = (subject.dockerfile.mark + "".join(subject.dockerfile.lines))[start:end]
    if between.split() != ["RUN"] and between.split() != ["run"]:
        return ()
    return (Edit(start=start, end=end, text=" \\\n    && "),)


def _is_plain(instruction: Instruction) -> bool:
    text = instruction.arguments
    return instruction.exec_form is None and not instruction.flags and not instruction.heredocs and "#" not in text


def _end(instruction: Instruction) -> int:
    return instruction.arguments_start + len(instruction.arguments)


RULE = Rule(
    id="IF308",
    severity=Severity.WARNING,
    principle=Principle.LIGHTWEIGHT,
    title="Package lists are fetched where they are used",
    check=_check,
)

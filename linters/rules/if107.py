"""IF107: an exec form that was meant for a shell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from linters import edits
from linters.model import Principle, Severity
from linters.programs import name_of, unwrap
from linters.rule import Hit, Rule, Subject
from linters.rules.if401 import starts_a_script
from linters.stages import Step

_OPERATORS = frozenset({"&&", "||", ";", "|", "&", ">", ">>", "<", "2>&1", "&>"})
# Programs that take operators as words of their own.
_TAKERS = frozenset(
    {"find", "expr", "test", "[", "awk", "jq", "sh", "bash", "dash", "ash", "zsh", "watch", "ssh", "parallel"}
)
# What may as well be the value of an option: a separator.
_SEPARATORS = frozenset({"|", ";", "&", "<", ">"})
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_MAKING = ("COPY", "ADD", "RUN")


def _check(subject: Subject) -> Iterator[Hit]:
    entry = subject.entry
    for step in entry.steps:
        argv = step.instruction.exec_form
        if not argv:
            continue
        program = unwrap(argv)[:1]
        if step is not entry.main and entry.main is not None and entry.main.instruction.exec_form:
            program = unwrap(entry.main.instruction.exec_form)[:1] or program  # whose arguments these are
        if not program or name_of(program[0]) not in _TAKERS:
            yield from _operators(subject, step, argv)
        if step is entry.main and " " in argv[0].strip() and not _is_path(subject, argv[0]):
            yield _one_word(subject, step, argv)


def _operators(subject: Subject, step: Step, argv: tuple[str, ...]) -> Iterator[Hit]:
    for index, text in enumerate(argv[1:], start=1):
        if text in _SEPARATORS and argv[index - 1].startswith("-"):
            continue
        if text in _OPERATORS:
            # An ENTRYPOINT of the image's own may put the words of CMD together again for a shell.
            handed_on = step is not subject.entry.main and starts_a_script(subject.entry)
            word = step.instruction.words[index]
            yield Hit(
                span=step.instruction.span(word.start, word.end),
                message=f"the exec form has no shell, and `{text}` is handed to {argv[0]} as a word",
                fix=f'write {step.instruction.keyword} ["sh", "-c", "…"] with the whole line in one string',
                severity=Severity.WARNING if handed_on else None,
            )
            return


def _one_word(subject: Subject, step: Step, argv: tuple[str, ...]) -> Hit:
    word = step.instruction.words[0]
    words = argv[0].split()
    split = json.dumps([*words, *argv[1:]], ensure_ascii=False)
    plain = not any(char in argv[0] for char in "\"'$&|;<>()*?`\\")
    parts = ", ".join(json.dumps(one, ensure_ascii=False) for one in words)
    return Hit(
        span=step.instruction.span(word.start, word.end),
        message=f"the exec form looks for a program named `{argv[0]}`, blanks included",
        fix=f"write {step.instruction.keyword} {split}"
        if plain
        else f'write {step.instruction.keyword} ["sh", "-c", "exec …"]',
        edits=edits.replaced(subject.dockerfile, step.instruction, word.start, word.end, parts) if plain else (),
    )


def _is_path(subject: Subject, text: str) -> bool:
    """Whether a path with blanks is meant: one of Windows, or one that another instruction makes or names."""
    if _DRIVE.match(text):
        return True
    name = text.rpartition("/")[2]
    if (
        "/" in text
        and " " in name
        and any(name in one.instruction.logical.text for one in subject.plan.steps(*_MAKING))
    ):
        return True
    context = subject.context
    if context is not None and text.startswith("/"):
        known = {file.path for file in context.files}
        if any(source in known for copy in subject.copies if copy.from_context for source in copy.sources_of(text)):
            return True
    folder = text.rpartition("/")[0]
    return bool(folder) and any(
        " " in folder and folder in step.instruction.logical.text
        for step in subject.plan.steps("COPY", "ADD", "RUN", "WORKDIR", "ENV")
    )


RULE = Rule(
    id="IF107",
    severity=Severity.ERROR,
    principle=Principle.ONE_PROCESS,
    title="An exec form holds one program and its words",
    check=_check,
    covers=frozenset({"DL3025"}),
)

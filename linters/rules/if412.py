"""IF412: the container starts as root, and its program gives root up by itself."""

from __future__ import annotations

from collections.abc import Iterator

from linters.dockerfile import Span
from linters.model import Basis, Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.rules.if401 import drops_privilege
from linters.user import UserKind


def _check(subject: Subject) -> Iterator[Hit]:
    if subject.plan.windows or subject.user.kind not in (UserKind.ROOT, UserKind.UNKNOWN):
        return
    if subject.user.step is not None and subject.user.kind is UserKind.UNKNOWN:
        return
    if drops_privilege(subject):
        yield Hit(
            span=_place(subject),
            message="the container starts as root, and its entry changes the user by itself; only a run shows to whom",
            fix="prepare folders in the build, and set USER 10001: then root is never there",
            basis=subject.start.basis if subject.start is not None else Basis.FILE,
        )


def _place(subject: Subject) -> Span:
    main = subject.entry.entrypoint or subject.entry.command
    if main is None:
        start = subject.plan.root.start
        return start.span(start.words[0].start, start.words[0].end)
    instruction = main.instruction
    start_at = instruction.arguments_start
    return instruction.span(start_at, start_at + len(instruction.arguments))


RULE = Rule(
    id="IF412",
    severity=Severity.INFO,
    principle=Principle.NON_ROOT,
    title="A container need not start as root to give root up",
    check=_check,
)

"""IF403: the user is a name, and only a number can be proved to be other than root."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from linters import edits
from linters.accounts import accounts
from linters.model import Principle, Severity
from linters.rule import Hit, ImageHit, Rule, Subject
from linters.user import User, UserKind

if TYPE_CHECKING:
    from linters.image.evidence import Evidence


def _check(subject: Subject) -> Iterator[Hit]:
    user = subject.user
    if user.kind is not UserKind.NAME or user.step is None:
        return
    instruction = user.step.instruction
    start = instruction.arguments_start
    end = start + len(instruction.arguments)
    number = _number(subject, user)
    plain = number is not None and instruction.arguments == user.name
    changes = edits.replaced(subject.dockerfile, instruction, start, end, str(number)) if plain else ()
    yield Hit(
        span=instruction.span(start, end),
        message=f"the user {user.name} is a name, and a Kubernetes node cannot prove that a name is not root",
        fix=f"write USER {number}, the number of {user.name}"
        if number
        else f"write the number of {user.name}, such as USER 10001",
        edits=changes,
        safe=bool(changes),
    )


def _number(subject: Subject, user: User) -> int | None:
    """The number that the file gives the account, where it gives one, and only one."""
    numbers = {
        account.uid
        for script in subject.run_scripts()
        for account in accounts(script.commands)
        if account.name == user.name
    }
    return numbers.pop() if len(numbers) == 1 else None


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.account import named_user  # noqa: PLC0415 - who judges a file has no use for it

    return named_user(evidence)


RULE = Rule(
    id="IF403",
    severity=Severity.INFO,
    principle=Principle.NON_ROOT,
    title="USER is a number",
    check=_check,
    image=_image,
    covers=frozenset({"DL3066"}),
)

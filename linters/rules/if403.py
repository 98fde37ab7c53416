"""IF403: the user is a name, and only a number can be proved to be other than root."""

from __future__ import annotations

from collections.abc import Iterator

from linters.image.account import named_user
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    step = subject.plan.last("USER")
    if step is None:
        return
    instruction = step.instruction
    user = step.expand(instruction.arguments)
    name = (user or "").partition(":")[0]
    if not name or name.isdecimal() or name.lower() == "root":
        return
    yield Hit(
        span=instruction.span(instruction.arguments_start, instruction.arguments_start + len(instruction.arguments)),
        message=f"the user {name} is a name, and a Kubernetes node cannot prove that a name is not root",
        fix=f"write the number of {name}, such as USER 10001",
    )


RULE = Rule(
    id="IF403",
    severity=Severity.INFO,
    principle=Principle.NON_ROOT,
    title="USER is a number",
    check=_check,
    image=named_user,
    covers=frozenset({"DL3066"}),
)

"""IF506: the program comes up only with rights that are root's."""

from __future__ import annotations

from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF506",
    severity=Severity.ERROR,
    principle=Principle.NON_ROOT,
    title="A container starts without capabilities",
)

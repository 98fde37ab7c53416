"""IF504: the program goes on until it is killed."""

from __future__ import annotations

from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF504",
    severity=Severity.ERROR,
    principle=Principle.ONE_PROCESS,
    title="A container ends when it is told to",
)

"""IF503: several programs run side by side."""

from __future__ import annotations

from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF503",
    severity=Severity.ERROR,
    principle=Principle.ONE_PROCESS,
    title="One program runs in a container",
)

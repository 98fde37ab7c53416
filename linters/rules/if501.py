"""IF501: the program does not stay up, or does not listen, where its root cannot be written to."""

from __future__ import annotations

from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF501",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="A container runs with a read-only root file system",
)

"""IF502: the program changes files of its root while it runs."""

from __future__ import annotations

from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF502",
    severity=Severity.WARNING,
    principle=Principle.IMMUTABLE,
    title="A running container leaves its root file system as it was built",
)

"""IF505: the program listens on a port that nobody declared, or on its own loopback only."""

from __future__ import annotations

from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF505",
    severity=Severity.ERROR,
    principle=Principle.GENERAL,
    title="A container listens on the ports that it declares",
)

"""IF500: the image could not be run on its own, so that nothing was measured."""

from __future__ import annotations

from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF500",
    severity=Severity.ERROR,
    principle=Principle.GENERAL,
    title="An image can be tried out",
)

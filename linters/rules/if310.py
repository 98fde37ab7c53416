"""IF310: the image is larger, or wastes more, than it may."""

from __future__ import annotations

from linters.image.weight import weight
from linters.model import Principle, Severity
from linters.rule import Rule

RULE = Rule(
    id="IF310",
    severity=Severity.ERROR,
    principle=Principle.LIGHTWEIGHT,
    title="An image keeps to its budget",
    image=weight,
)

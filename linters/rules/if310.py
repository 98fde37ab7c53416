"""IF310: the image is larger, or wastes more, than it may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from linters.model import Principle, Severity
from linters.rule import ImageHit, Rule

if TYPE_CHECKING:
    from linters.image.evidence import Evidence


def _image(evidence: Evidence) -> Iterable[ImageHit]:
    from linters.image.weight import weight  # noqa: PLC0415 - who judges a file has no use for it

    return weight(evidence)


RULE = Rule(
    id="IF310",
    severity=Severity.ERROR,
    principle=Principle.LIGHTWEIGHT,
    title="An image keeps to its budget",
    image=_image,
)

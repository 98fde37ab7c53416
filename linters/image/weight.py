"""An image's size and waste against what it may have."""

from __future__ import annotations

from collections.abc import Iterator

from linters.image.evidence import Evidence
from linters.image.model import LayerFile
from linters.image.sizes import megabytes
from linters.model import Severity
from linters.rule import ImageHit

MUCH = 50_000_000
"""Bytes of waste from which on it is worth a word where no budget says otherwise, if they are also…"""
MUCH_SHARE = 0.1
"""… this share of the image. dive, which measures the same, warns from there on."""


def weight(evidence: Evidence) -> Iterator[ImageHit]:
    """IF310."""
    facts, budget = evidence.facts, evidence.facts.budget
    wasted = facts.wasted
    if budget.size is not None and facts.size > budget.size:
        yield ImageHit(
            message=f"the image has {megabytes(facts.size)}, and its budget is {megabytes(budget.size)}; "
            f"its largest files beyond the base: {_named(evidence.heaviest)}",
            fix=_gain(evidence) or "leave out what containers do not need, or raise [lint] budgets",
            excerpt=megabytes(facts.size),
        )
    over = budget.waste is not None and wasted > budget.waste
    if over or (budget.waste is None and wasted >= MUCH and wasted >= MUCH_SHARE * facts.size):
        limit = f", and its budget is {megabytes(budget.waste)}" if over and budget.waste is not None else ""
        yield ImageHit(
            message=f"{megabytes(wasted)} are in its layers and deleted or replaced by later ones{limit}: "
            f"{_named(evidence.heaviest_waste)}",
            fix=_gain(evidence) or "delete files in the RUN that makes them",
            severity=None if over else Severity.WARNING,
            excerpt=megabytes(wasted),
        )


def _gain(evidence: Evidence) -> str | None:
    """What a squash of the layers beyond the base would save."""
    facts = evidence.facts
    saved = sum(layer.wasted for layer in facts.layers[facts.base :]) if facts.base is not None else 0
    return f"a squash from the base saves {megabytes(saved)}" if saved >= 1_000_000 else None


def _named(files: tuple[LayerFile, ...]) -> str:
    return ", ".join(f"{file.path} ({megabytes(file.size)})" for file in files) or "none"

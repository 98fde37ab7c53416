"""IF202: an image is named by a tag, which may mean another one tomorrow."""

from __future__ import annotations

from collections.abc import Iterator

from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.rules.if201 import judge

_OWN = "imageforge/"
"""Bases that this machine makes itself come from no registry, and have no digest there."""


def _check(subject: Subject) -> Iterator[Hit]:
    for source in subject.plan.sources():
        reference = source.reference
        if reference is None or reference.lower() == "scratch" or "@" in reference or reference.startswith(_OWN):
            continue
        if judge(source) is None:
            yield Hit(
                span=source.instruction.span(source.start, source.end),
                message=f"{reference} has no digest, and its tag may be moved",
                fix=f"write {reference}@sha256:… with the digest that you have tested",
            )


RULE = Rule(
    id="IF202",
    severity=Severity.INFO,
    principle=Principle.IMMUTABLE,
    title="A base image is named by its digest",
    check=_check,
)

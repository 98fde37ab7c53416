"""One built image in, one report out: the rules that can be judged from what was built."""

from __future__ import annotations

from collections.abc import Iterable

from linters.catalog import rules
from linters.dockerfile import printable
from linters.image.evidence import gather
from linters.image.model import ImageFacts, LayerFile
from linters.model import Basis, Finding, LintReport

_LONGEST_EXCERPT = 400


def check_image(facts: ImageFacts, files: Iterable[LayerFile]) -> LintReport:
    """Judges an image by its configuration and the entries of its layers, which are gone through once, in any order;
    contents are read of few of them. Findings have the basis `image`, the image's name as their file, and the line 0.
    Raises what the entries' `read` raises."""
    evidence = gather(facts, files)
    findings = [
        Finding(
            rule=rule.id,
            severity=hit.severity or rule.severity,
            principle=rule.principle,
            message=printable(hit.message),
            file=facts.name,
            line=0,
            excerpt=printable(hit.excerpt[:_LONGEST_EXCERPT]),
            fix=hit.fix,
            basis=Basis.IMAGE,
        )
        for rule in rules()
        if rule.image is not None
        for hit in rule.image(evidence)
    ]
    findings.sort(key=lambda one: (one.severity.rank, one.rule, one.excerpt))
    notes = [] if facts.base is not None else ["the base image is not known, so what it brings was not told apart"]
    if facts.os == "windows":
        findings, notes = [], ["an image for Windows: its files were not checked"]
    return LintReport(file=facts.name, findings=tuple(findings), notes=tuple(notes))

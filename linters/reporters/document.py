"""A check as data, for JSON and YAML; `report.schema.json` beside this says what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from linters.baseline import fingerprint
from linters.check import Outcome
from linters.errors import LintError
from linters.model import Finding, LintReport, Severity

SCHEMA = Path(__file__).with_name("report.schema.json")
VERSION = 1


def document(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """All files that were checked, and the counts over them."""
    files = [_failed(one) if isinstance(one, LintError) else report_data(one) for one in outcomes]
    totals = {severity.value: 0 for severity in Severity}
    for file in files:
        for finding in file["findings"]:
            totals[finding["severity"]] += 1
    unchecked = sum(file["error"] is not None for file in files)
    return {"schema": VERSION, "files": files, "totals": {**totals, "unchecked": unchecked}}


def report_data(report: LintReport) -> dict[str, Any]:
    """One file's report."""
    return {
        "file": report.file,
        "target": report.target,
        "base_image": report.base_image,
        "images": None if report.images is None else list(report.images),
        "findings": [finding_data(finding) for finding in report.findings],
        "suppressed": [
            {**finding_data(one.finding), "cause": one.cause.value, "reason": one.reason} for one in report.suppressed
        ],
        "notes": list(report.notes),
        "error": None,
    }


def finding_data(finding: Finding) -> dict[str, Any]:
    """One finding. `edits` are what `--fix` does, or `--fix --unsafe` where `safe` is false."""
    return {
        "rule": finding.rule,
        "alias": finding.alias or None,
        "severity": finding.severity.value,
        "principle": finding.principle.value,
        "basis": finding.basis.value,
        "source": finding.source,
        "message": finding.message,
        "fix": finding.fix,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "excerpt": finding.excerpt,
        "safe": finding.safe,
        "edits": [{"start": edit.start, "end": edit.end, "text": edit.text} for edit in finding.edits],
        "fingerprint": fingerprint(finding),
    }


def _failed(error: LintError) -> dict[str, Any]:
    return {
        "file": error.subject,
        "target": None,
        "base_image": None,
        "images": None,
        "findings": [],
        "suppressed": [],
        "notes": [],
        "error": {"code": error.code, "message": error.message, "hint": error.hint},
    }

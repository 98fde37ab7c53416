"""What a report comes to, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

from linters.check import Outcome
from linters.dockerfile import printable
from linters.model import Cause, LintReport, Severity

_WORDS = {Cause.WAIVER: "waived", Cause.COMMENT: "ignored", Cause.BASELINE: "known"}


def summary(report: LintReport) -> str:
    """`Dockerfile: 0 errors, 2 warnings, 1 remark`, and what does not count."""
    return f"{printable(report.file)}: {counts(report)}"


def total(outcomes: Sequence[Outcome]) -> str:
    """`3 files: 1 error, 0 warnings, 2 waived, 1 not checked`."""
    reports = [one for one in outcomes if isinstance(one, LintReport)]
    missed = len(outcomes) - len(reports)
    joined = LintReport(
        file="",
        findings=tuple(finding for one in reports for finding in one.findings),
        suppressed=tuple(aside for one in reports for aside in one.suppressed),
    )
    return f"{len(outcomes)} files: {counts(joined)}" + (f", {missed} not checked" if missed else "")


def counts(report: LintReport) -> str:
    """`0 errors, 2 warnings, 1 remark, 1 waived`."""
    rest = report.count(Severity.INFO) + report.count(Severity.STYLE)
    parts = [_plural(report.count(Severity.ERROR), "error"), _plural(report.count(Severity.WARNING), "warning")]
    parts += [_plural(rest, "remark")] if rest else []
    causes = [one.cause for one in report.suppressed]
    parts += [f"{causes.count(cause)} {word}" for cause, word in _WORDS.items() if cause in causes]
    return ", ".join(parts)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"

"""The lint stage: findings become events, and errors that nobody waived stop the run."""

from __future__ import annotations

import datetime
from pathlib import Path

from builders import SquashMode
from imageforge.errors import GateRefused
from imageforge.pipeline.event import EventKind, StageLog
from imageforge.pipeline.plan import Plan
from linters import Bases, Finding, LintReport, Severity, check


def lint(plan: Plan, log: StageLog, *, memory: Path, bases: Bases | None = None) -> LintReport:
    """Check the Dockerfile; `memory` and `bases` as `linters.check` has them. Raises linters' DockerfileError, or
    GateRefused (`lint-refused`)."""
    report = check(
        plan.dockerfile,
        context=plan.context,
        target=plan.target,
        build_args=plan.build_args,
        display_name=shown_dockerfile(plan),
        memory=memory,
        bases=bases,
        squashed=plan.squash in (SquashMode.ALL, SquashMode.FROM_BASE),
    )
    today = datetime.date.today()
    for finding in report.findings:
        waived = plan.waived(finding.rule, today)
        log.emit(EventKind.FINDING, finding.message, **finding_data(finding), waived=waived)
    for note in report.notes:
        log.emit(EventKind.NOTE, note)
    refused = [finding for finding in report.at_least(plan.fail_on) if not plan.waived(finding.rule, today)]
    waived_count = sum(plan.waived(finding.rule, today) for finding in report.findings)
    log.summary = summary(report, waived_count)
    if refused:
        first = refused[0]
        count = f"{len(refused)} finding{'s' if len(refused) > 1 else ''} at {plan.fail_on.value} or above"
        raise GateRefused(
            "lint-refused",
            f"{first.file}:{first.line}",
            f"{count}, first {first.rule}: {first.message}",
            hint=first.fix or f"imageforge rules {first.rule} says more",
            kept="nothing was built",
        )
    return report


def summary(report: LintReport, waived: int = 0) -> str:
    """`Dockerfile: 0 errors, 2 warnings, 1 note`."""
    counts = [
        _plural(report.count(Severity.ERROR), "error"),
        _plural(report.count(Severity.WARNING), "warning"),
    ]
    rest = report.count(Severity.INFO) + report.count(Severity.STYLE)
    if rest:
        counts.append(_plural(rest, "remark"))
    if waived:
        counts.append(f"{waived} waived")
    return f"{report.file}: {', '.join(counts)}"


def shown_dockerfile(plan: Plan) -> str:
    """The Dockerfile's name as the user would write it: relative to the context where it lies in it."""
    try:
        return str(plan.dockerfile.resolve().relative_to(plan.context.resolve()))
    except ValueError:
        return str(plan.dockerfile)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def finding_data(finding: Finding) -> dict[str, object]:
    """A finding as an event holds it; its message is the event's text."""
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "principle": finding.principle.value,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "end_column": finding.end_column if finding.end_line in (None, finding.line) else None,
        "excerpt": finding.excerpt,
        "fix": finding.fix,
        "source": finding.source,
        "basis": finding.basis.value,
    }

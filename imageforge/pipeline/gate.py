"""The lint stage: findings become events, and errors that nobody waived stop the run."""

from __future__ import annotations

from pathlib import Path

from builders import SquashMode
from imageforge.errors import GateRefused
from imageforge.pipeline.event import EventKind, StageLog
from imageforge.pipeline.plan import Plan
from linters import Bases, Cause, Finding, LintReport, check
from linters.reporters.summary import summary


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
        policy=plan.policy,
    )
    waived = [one.finding for one in report.suppressed if one.cause is Cause.WAIVER]
    for finding in sorted((*report.findings, *waived), key=lambda one: one.line):
        log.emit(EventKind.FINDING, finding.message, **finding_data(finding), waived=finding in waived)
    for note in report.notes:
        log.emit(EventKind.NOTE, note)
    refused = report.at_least(plan.fail_on)
    log.summary = summary(report)
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


def shown_dockerfile(plan: Plan) -> str:
    """The Dockerfile's name as the user would write it: relative to the context where it lies in it."""
    try:
        return str(plan.dockerfile.resolve().relative_to(plan.context.resolve()))
    except ValueError:
        return str(plan.dockerfile)


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

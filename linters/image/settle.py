"""What of the findings on an image counts, by what its project asks for."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace

from linters.image.waived import ALSO
from linters.model import Cause, Finding, LintReport, Suppressed
from linters.policy import Policy, Waiver


def settle(
    report: LintReport,
    policy: Policy,
    *,
    file: str,
    ignored: frozenset[str] = frozenset(),
    today: datetime.date | None = None,
) -> LintReport:
    """The report with severities as the project has them, without the rules that are off, and with what is waived set
    aside. `file` is the Dockerfile that a waiver's paths mean; `ignored` are the rules that its comments name."""
    day = today or datetime.date.today()
    counts: list[Finding] = []
    aside: list[Suppressed] = []
    over: dict[str, None] = {}
    for one in report.findings:
        if not policy.on(one.rule):
            continue
        finding = replace(one, severity=policy.severity(one.rule, one.severity))
        if finding.rule in ignored:
            aside.append(Suppressed(finding=finding, cause=Cause.COMMENT, reason="a comment of the Dockerfile"))
            continue
        waiver = next((each for each in policy.waivers if _means(each, one.rule, file) and each.holds(day)), None)
        if waiver is not None:
            reason = f"{waiver.reason} (until {waiver.until.isoformat()})"
            aside.append(Suppressed(finding=finding, cause=Cause.WAIVER, reason=reason))
            continue
        over |= dict.fromkeys(_over(policy, finding, file))
        counts.append(finding)
    return replace(report, findings=tuple(counts), suppressed=tuple(aside), notes=(*report.notes, *over))


def _means(waiver: Waiver, rule: str, file: str) -> bool:
    names = (rule, *(name for name, others in ALSO.items() if rule in others))
    return any(waiver.means(name, file) for name in names)


def _over(policy: Policy, finding: Finding, file: str) -> Iterator[str]:
    """Of a finding that counts: the waivers that were for it once."""
    for waiver in policy.waivers:
        if _means(waiver, finding.rule, file):
            yield f"the waiver of {waiver.rule} ended on {waiver.until.isoformat()}: {waiver.reason}"

"""A comment for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable

from linters.check import Outcome
from linters.dockerfile import printable
from linters.errors import LintError
from linters.model import Finding, LintReport
from linters.reporters.summary import counts

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#!&])")
_MENTION = re.compile(r"(?<![A-Za-z0-9])@")


def markdown(outcomes: Iterable[Outcome]) -> str:
    """A heading and a table a file; what does not count is folded away."""
    return "\n\n".join(_failed(one) if isinstance(one, LintError) else _file(one) for one in outcomes)


def _file(report: LintReport) -> str:
    parts = [f"### {_plain(report.file)}: {counts(report)}"]
    if report.findings:
        head = ["| line | severity | rule | finding | fix |", "|---:|---|---|---|---|"]
        parts.append("\n".join([*head, *(_row(finding) for finding in report.findings)]))
    parts += [f"*{_plain(note)}*" for note in report.notes]
    if report.suppressed:
        aside = [
            f"- line {one.finding.line}, {one.finding.rule}: {_plain(one.finding.message)} "
            f"({one.cause.value}{f': {_plain(one.reason)}' if one.reason else ''})"
            for one in report.suppressed
        ]
        parts.append("\n".join(["<details><summary>does not count</summary>", "", *aside, "", "</details>"]))
    return "\n\n".join(parts)


def _row(finding: Finding) -> str:
    name = f"**{finding.rule}** {finding.alias}".strip()
    line = str(finding.line) if finding.line else ""
    return f"| {line} | {finding.severity.value} | {name} | {_plain(finding.message)} | {_plain(finding.fix or '')} |"


def _failed(error: LintError) -> str:
    hint = f" ({_plain(error.hint)})" if error.hint else ""
    return f"### {_plain(error.subject)}: not checked\n\n{_plain(error.message)}{hint}"


def _plain(text: str) -> str:
    """Text that stays what it is: no markup, no cell of its own, and nobody is mentioned by it."""
    return _MENTION.sub("@\u200b", _SPECIAL.sub(r"\\\1", " ".join(printable(text.replace("\n", " ")).split())))

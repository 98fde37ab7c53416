"""Annotations of a pull request, as GitHub's runner takes them from a step's output.

The form and its escapes are those of workflow commands (`command.ts` of actions/toolkit):
`::error file=…,line=…,title=…::message`.
"""

from __future__ import annotations

from collections.abc import Iterable

from linters.check import Outcome
from linters.dockerfile import printable
from linters.errors import LintError
from linters.model import Finding, Severity

_COMMANDS = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "notice",
    Severity.STYLE: "notice",
}


def github(outcomes: Iterable[Outcome]) -> str:
    """A command a line, in the order of the files."""
    lines: list[str] = []
    for one in outcomes:
        if isinstance(one, LintError):
            lines.append(_command("error", {"file": one.subject, "title": one.code}, one.message))
        else:
            lines += [_annotation(finding) for finding in one.findings]
    return "\n".join(map(printable, lines))


def _annotation(finding: Finding) -> str:
    about = {"file": finding.file}
    if finding.line:
        last = finding.end_line or finding.line
        about |= {"line": str(finding.line), "endLine": str(last)}
        if last == finding.line and finding.end_column is not None:
            # Of several lines GitHub takes no columns; its end is inclusive.
            about |= {"col": str(finding.column), "endColumn": str(max(finding.column, finding.end_column - 1))}
    about["title"] = f"{finding.rule} {finding.alias}".strip()
    message = f"{finding.message}\nfix: {finding.fix}" if finding.fix else finding.message
    return _command(_COMMANDS[finding.severity], about, message)


def _command(name: str, about: dict[str, str], message: str) -> str:
    properties = ",".join(f"{key}={_property(value)}" for key, value in about.items())
    return f"::{name} {properties}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

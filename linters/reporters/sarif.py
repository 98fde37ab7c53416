"""SARIF 2.1.0 (OASIS, with errata 01): what code scanning, editors and other tools read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from linters.baseline import fingerprint
from linters.catalog import rules
from linters.check import Outcome
from linters.errors import LintError
from linters.model import Cause, Finding, LintReport, Severity, Suppressed
from linters.reporters.places import Places
from linters.rule import Rule

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note", Severity.STYLE: "note"}
_ROOT = "SRCROOT"
_FINGERPRINT = "imageforge/v1"

Object = dict[str, Any]


def sarif(outcomes: Iterable[Outcome], *, version: str, texts: Mapping[str, str]) -> str:
    """The whole log. `version` is the tool's; `texts` the files' texts by the names that findings have, for the ranges
    of fixes."""
    found = list(outcomes)
    reports = [one for one in found if isinstance(one, LintReport)]
    errors = [one for one in found if isinstance(one, LintError)]
    said: list[tuple[Finding, Suppressed | None]] = []
    for report in reports:
        mine: list[tuple[Finding, Suppressed | None]] = [(one, None) for one in report.findings]
        mine += [(one.finding, one) for one in report.suppressed]
        said += sorted(mine, key=lambda pair: (pair[0].line, pair[0].column))
    descriptors = _descriptors(finding for finding, _ in said)
    numbers = {one["id"]: at for at, one in enumerate(descriptors)}
    places = {name: Places(text) for name, text in texts.items()}
    notifications = [_notification("error", f"{one.subject}: {one.message}", one.code) for one in errors]
    notifications += [_notification("note", f"{one.file}: {note}", "note") for one in reports for note in one.notes]
    run: Object = {
        "tool": {"driver": {"name": "imageforge", "semanticVersion": version, "rules": descriptors}},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "the folder in which the check was started"}}},
        "results": [
            _result(finding, aside, numbers[finding.rule], places.get(finding.file)) for finding, aside in said
        ],
        "invocations": [{"executionSuccessful": not errors, "toolExecutionNotifications": notifications}],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False)


def _descriptors(findings: Iterable[Finding]) -> list[Object]:
    ours = {rule.id: rule for rule in rules()}
    used = {finding.rule: finding for finding in findings}
    return [_ours(ours[name]) if name in ours else _foreign(used[name]) for name in sorted(used)]


def _ours(rule: Rule) -> Object:
    page = rule.page
    properties: Object = {
        "tags": ["dockerfile", rule.principle.value.replace(" ", "-")],
        "precision": "very-high",
        "problem.severity": _problem(rule.severity),
    }
    if rule.covers:
        properties["hadolint"] = sorted(rule.covers)
    found: Object = {
        "id": rule.id,
        "name": rule.alias or _camel(rule.title),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": _why(page) or rule.title},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": properties,
    }
    if rule.alias:
        found["helpUri"] = f"https://docs.docker.com/reference/build-checks/{_kebab(rule.alias)}/"
        properties["buildkit"] = rule.alias
    return found


def _foreign(finding: Finding) -> Object:
    shellcheck = finding.rule.startswith("SC")
    wiki = "https://www.shellcheck.net/wiki" if shellcheck else "https://github.com/hadolint/hadolint/wiki"
    page = f"{wiki}/{finding.rule}"
    return {
        "id": finding.rule,
        "shortDescription": {"text": finding.message},
        "help": {"text": f"{finding.rule} by hadolint: {page}", "markdown": f"[{finding.rule}]({page}) by hadolint"},
        "helpUri": page,
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        "properties": {"tags": ["dockerfile", finding.source], "problem.severity": _problem(finding.severity)},
    }


def _result(finding: Finding, aside: Suppressed | None, number: int, places: Places | None) -> Object:
    result: Object = {
        "ruleId": finding.rule,
        "ruleIndex": number,
        "kind": "fail",
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}\nfix: {finding.fix}" if finding.fix else finding.message},
        "locations": [{"physicalLocation": _location(finding)}],
        "partialFingerprints": {_FINGERPRINT: fingerprint(finding)},
        "properties": {"principle": finding.principle.value, "basis": finding.basis.value, "source": finding.source},
    }
    if places is not None and finding.edits and all(places.holds(edit.start, edit.end) for edit in finding.edits):
        result["fixes"] = [_fix(finding, places)]
    if aside is not None:
        kind = "inSource" if aside.cause is Cause.COMMENT else "external"
        result["suppressions"] = [
            {"kind": kind, "status": "accepted", **({"justification": aside.reason} if aside.reason else {})}
        ]
        if aside.cause is Cause.BASELINE:
            result["baselineState"] = "unchanged"
    return result


def _fix(finding: Finding, places: Places) -> Object:
    words = finding.fix or "mend the file"
    return {
        "description": {"text": words if finding.safe else f"{words}; this may change what is built"},
        "artifactChanges": [
            {
                "artifactLocation": _artifact(finding.file),
                "replacements": [
                    {
                        "deletedRegion": _region(places, edit.start, edit.end),
                        "insertedContent": {"text": edit.text},
                    }
                    for edit in finding.edits
                ],
            }
        ],
    }


def _location(finding: Finding) -> Object:
    location: Object = {"artifactLocation": _artifact(finding.file)}
    if finding.line:
        region: Object = {"startLine": finding.line, "startColumn": finding.column}
        if finding.end_column is not None:
            region |= {"endLine": finding.end_line or finding.line, "endColumn": finding.end_column}
        if finding.excerpt:
            region["snippet"] = {"text": finding.excerpt}
        location["region"] = region
    return location


def _region(places: Places, start: int, end: int) -> Object:
    line, column = places.of(start)
    end_line, end_column = places.of(end)
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}


def _artifact(file: str) -> Object:
    path = PurePath(file)
    uri = quote(path.as_posix(), safe="/:@!$&'()*+,;=~", errors="surrogateescape")
    if path.is_absolute():
        return {"uri": f"file://{uri}"}
    # The name `a:b` would be taken for a scheme.
    return {"uri": f"./{uri}" if ":" in uri.partition("/")[0] else uri, "uriBaseId": _ROOT}


def _notification(level: str, text: str, code: str) -> Object:
    return {"level": level, "descriptor": {"id": code}, "message": {"text": text}}


def _problem(severity: Severity) -> str:
    return {Severity.ERROR: "error", Severity.WARNING: "warning"}.get(severity, "recommendation")


def _why(page: str) -> str:
    match = re.search(r"^## Why\n+(.*?)(?=\n\n|\n## |\Z)", page, re.MULTILINE | re.DOTALL)
    return " ".join(match.group(1).split()) if match else ""


def _camel(title: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", title))


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()

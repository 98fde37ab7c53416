"""What was known before: a file of findings that do not count, so that a check fails only on what is new.

A finding is known again by its rule, its file and the text of its instruction, not by its line; of several that are
alike as many are known as there were.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from linters.model import Basis, Cause, Finding, LintReport, Suppressed

VERSION = 1
_NUMBER = re.compile(r"[0-9]+")


class NotABaseline(ValueError):
    """A text that is no baseline; the message says what it has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One kind of finding that is known: how many of it, and where one of them was, for who reads the file."""

    fingerprint: str
    rule: str
    file: str
    line: int
    count: int = 1


def fingerprint(finding: Finding) -> str:
    """The name by which a finding is known again, 32 hexadecimal characters."""
    parts = [finding.rule, _plain(finding.file), finding.instruction or finding.excerpt.strip()]
    if finding.basis is Basis.CONTEXT:
        # Of `COPY . .` all files are the same instruction: which one it is, the message says. Lines and sizes change.
        parts.append(_NUMBER.sub("0", finding.message))
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", errors="replace")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


def _plain(file: str) -> str:
    return file.removeprefix("./")


def entries(reports: Iterable[LintReport]) -> tuple[Entry, ...]:
    """A baseline of all that reports have, by file and line. What was known before is known on."""
    found: dict[str, Entry] = {}
    for report in reports:
        known = [one.finding for one in report.suppressed if one.cause is Cause.BASELINE]
        for finding in [*report.findings, *known]:
            name = fingerprint(finding)
            before = found.get(name)
            if before is None:
                found[name] = Entry(fingerprint=name, rule=finding.rule, file=_plain(finding.file), line=finding.line)
            else:
                found[name] = replace(before, count=before.count + 1, line=min(before.line, finding.line))
    return tuple(sorted(found.values(), key=lambda one: (one.file, one.line, one.rule, one.fingerprint)))


def write(known: Iterable[Entry]) -> str:
    """A baseline as text: JSON, an entry a line, so that a difference can be read."""
    rows = [
        json.dumps(
            {
                "rule": one.rule,
                "file": one.file,
                "line": one.line,
                "count": one.count,
                "fingerprint": one.fingerprint,
            },
            ensure_ascii=False,
        )
        for one in known
    ]
    body = ",\n".join(f"    {row}" for row in rows)
    return f'{{\n  "version": {VERSION},\n  "findings": [{f"{chr(10)}{body}{chr(10)}  " if rows else ""}]\n}}\n'


def read(text: str) -> Counter[str]:
    """How many of each fingerprint are known. Raises NotABaseline."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise NotABaseline(f"not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise NotABaseline(f"expected an object with version {VERSION}")
    rows = data.get("findings")
    if not isinstance(rows, list):
        raise NotABaseline("expected a list of findings")
    known: Counter[str] = Counter()
    for row in rows:
        name = row.get("fingerprint") if isinstance(row, dict) else None
        count = row.get("count", 1) if isinstance(row, dict) else None
        if not isinstance(name, str) or type(count) is not int or count < 1:
            raise NotABaseline(f"expected a finding with fingerprint and count, got {str(row)[:80]!r}")
        known[name] += count
    return known


def without(report: LintReport, known: Counter[str]) -> LintReport:
    """The report with what is known set aside; `known` is used up by what is found."""
    new: list[Finding] = []
    old: list[Suppressed] = []
    for finding in report.findings:
        name = fingerprint(finding)
        if known[name] > 0:
            known[name] -= 1
            old.append(Suppressed(finding=finding, cause=Cause.BASELINE, reason="in the baseline"))
        else:
            new.append(finding)
    return replace(report, findings=tuple(new), suppressed=(*report.suppressed, *old))

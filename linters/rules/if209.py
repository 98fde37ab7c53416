"""IF209: a secret is written into the Dockerfile."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from linters.dockerfile import Assignment
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.stages import Step

_KNOWN = re.compile(
    r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[baprs]-[A-Za-z0-9-]{20,}|sk_live_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{36}"
    r"|AIza[A-Za-z0-9_-]{35}|pypi-[A-Za-z0-9_-]{50,})(?![A-Za-z0-9])|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_SECRET = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|SECRET_?KEY|ENCRYPTION_?KEY|SIGNING_?KEY|AUTH_?KEY)(?:$|_)|(?:PASSWORD|SECRET|TOKEN|APIKEY)$"
)
_HARMLESS = re.compile(r"(?:_FILE|_PATH|_DIR|_URL|_URI|_NAME|_ID|_TTL|_EXPIRY|_HASH|_VERSION|_LENGTH)$|PUBLIC|USERNAME")
_PLACEHOLDER = re.compile(
    r"change|example|placeholder|dummy|replace|insert|your|sample|default|secret|password|test|<|\{\{|xxx|\*\*\*",
    re.IGNORECASE,
)
_LEAST_LENGTH = 16
# Bits a character (Shannon): hexadecimal text lies near 3.5 to 4, words and file names below 3.3.
_LEAST_ENTROPY = 3.3
_FIX = "give it when the container starts, or to one RUN by --mount=type=secret"


def _check(subject: Subject) -> Iterator[Hit]:
    for step in subject.plan.reachable_steps("ENV", "ARG"):
        for pair in step.instruction.assignments:
            hit = _pair(subject, step, pair)
            if hit is not None:
                yield hit
    for step in subject.plan.reachable_steps("RUN", "LABEL", "CMD", "ENTRYPOINT"):
        text = step.instruction.logical.text
        for match in _KNOWN.finditer(text):
            yield Hit(
                span=step.instruction.span(match.start(), match.end()),
                message=f"{step.instruction.keyword} holds what looks like a real token, for all who have the image",
                fix=_FIX,
                secrets=(match.group(),),
            )


def _pair(subject: Subject, step: Step, pair: Assignment) -> Hit | None:
    value = (pair.value or "").strip("\"'")
    known = _KNOWN.search(value)
    if known is None and not (_names_secret(pair.name) and _looks_random(value)):
        return None
    keyword = step.instruction.keyword
    if known is None and keyword == "ARG" and not _run_follows(subject, step):
        return None
    return Hit(
        span=step.instruction.span(pair.start, pair.end),
        message=f"{keyword} {pair.name} holds what looks like a real secret, for all who have the image",
        fix=_FIX,
        secrets=(value,),
    )


def _names_secret(name: str) -> bool:
    upper = name.upper()
    return bool(_SECRET.search(upper)) and not _HARMLESS.search(upper)


def _looks_random(value: str) -> bool:
    if len(value) < _LEAST_LENGTH or _PLACEHOLDER.search(value) or re.search(r"[\s$]|://|^[./~]", value):
        return False
    mixed = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return bool(mixed) and _entropy(value) >= _LEAST_ENTROPY


def _entropy(text: str) -> float:
    counts = [text.count(char) for char in set(text)]
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def _run_follows(subject: Subject, step: Step) -> bool:
    """A default of ARG gets into the image's history by the RUN instructions behind it."""
    later = subject.plan.stages[step.stage].steps
    return any(one.instruction.keyword == "RUN" and one.instruction.line > step.instruction.line for one in later)


RULE = Rule(
    id="IF209",
    severity=Severity.ERROR,
    principle=Principle.IMMUTABLE,
    title="No secret is written into a Dockerfile",
    check=_check,
    covers=frozenset({"DL3064"}),
)

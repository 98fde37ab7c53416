"""IF020: a FROM for one platform, whatever is built for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from linters.instructions import built
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject

_PLATFORM = re.compile(r"([a-z]+)/([a-z0-9_]+)(?:/v?[0-9.]+)?$")


def _check(subject: Subject) -> Iterator[Hit]:
    for stage in built(subject):
        flag = stage.start.flag("platform")
        match = _PLATFORM.match(flag.value or "") if flag else None
        if flag is None or match is None:
            continue
        # A stage `build-amd64` means it.
        if stage.name and any(part in stage.name for part in match.groups()):
            continue
        yield Hit(
            span=stage.start.span(flag.start, flag.end),
            message=f"this stage is for {flag.value} on every machine, and slow or broken on others",
            fix="leave --platform out, or write --platform=$BUILDPLATFORM for a stage that only builds",
        )


RULE = Rule(
    id="IF020",
    severity=Severity.INFO,
    principle=Principle.GENERAL,
    title="FROM is not for one platform alone",
    check=_check,
    covers=frozenset({"DL3029"}),
    alias="FromPlatformFlagConstDisallowed",
)

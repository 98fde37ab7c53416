"""IF019: a FROM for the platform that it is for anyway."""

from __future__ import annotations

from collections.abc import Iterator

from linters.edits import replaced
from linters.instructions import built
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject


def _check(subject: Subject) -> Iterator[Hit]:
    for stage in built(subject):
        flag = stage.start.flag("platform")
        if flag is None or flag.value not in ("$TARGETPLATFORM", "${TARGETPLATFORM}"):
            continue
        yield Hit(
            span=stage.start.span(flag.start, flag.end),
            message="every FROM is for $TARGETPLATFORM where it does not say otherwise",
            fix=f"leave --platform={flag.value} out",
            edits=replaced(subject.dockerfile, stage.start, flag.start, stage.start.words[0].start, ""),
            safe=True,
        )


RULE = Rule(
    id="IF019",
    severity=Severity.STYLE,
    principle=Principle.GENERAL,
    title="FROM does not name the platform that it has anyway",
    check=_check,
    covers=frozenset({"DL3065"}),
    alias="RedundantTargetPlatform",
)

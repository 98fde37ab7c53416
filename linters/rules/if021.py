"""IF021: a FROM that needs a build argument without a default."""

from __future__ import annotations

from collections.abc import Iterator

from linters.expand import Scope
from linters.instructions import built
from linters.model import Principle, Severity
from linters.rule import Hit, Rule, Subject
from linters.rules.if009 import GIVEN, declared, no_image
from linters.variables import references


def _check(subject: Subject) -> Iterator[Hit]:
    known = declared(subject)
    if not known:
        return
    escape = subject.dockerfile.escape
    values = _defaults(subject)
    scope = Scope(values={**dict.fromkeys(GIVEN), **values}, closed=True)
    for stage in built(subject):
        word = stage.start.words[0]
        named = [one.name for one in references(word.text, escape=escape)]
        bare = [name for name in named if name in known and values.get(name, "") == ""]
        text = scope.expand(word.text, escape=escape)
        if not bare or any(name not in known for name in named) or text is None or not no_image(text):
            continue
        if stage.base and not no_image(stage.base):
            continue  # this build is given one
        yield Hit(
            span=stage.start.span(word.start, word.end),
            message=f"without --build-arg {bare[0]}=… this FROM names no image",
            fix=f"give ARG {bare[0]} a default above",
        )


def _defaults(subject: Subject) -> dict[str, str | None]:
    """The arguments above the first FROM as they are where nothing is given."""
    values: dict[str, str | None] = {}
    for one in subject.dockerfile.instructions:
        if one.keyword == "FROM":
            break
        for pair in one.assignments:
            scope = Scope(values={**dict.fromkeys(GIVEN), **values}, closed=True)
            if pair.value is not None:
                values[pair.name] = scope.expand(pair.value, escape=subject.dockerfile.escape)
    return values


RULE = Rule(
    id="IF021",
    severity=Severity.INFO,
    principle=Principle.GENERAL,
    title="FROM names an image without build arguments too",
    check=_check,
    alias="InvalidDefaultArgInFrom",
)

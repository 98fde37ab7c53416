"""Ignore comments: ours, hadolint's and BuildKit's.

    # imageforge ignore=IF101,DL3015 reason=why         above an instruction, in the comment lines right above it
    # imageforge stage ignore=IF301 reason=why          above a FROM: its whole stage
    # imageforge global ignore=IF402 reason=why         anywhere: the whole file
    # hadolint [stage|global] ignore=DL3008 # why       the same
    # check=skip=WorkdirRelativePath                    above an instruction, or as a directive on top: the whole file

Each may name rules of ours, hadolint's codes and the names of BuildKit's checks. A hadolint code silences the rule of
ours that stands for it too: a file that was waived for hadolint stays so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from linters.dockerfile import Comment, Dockerfile, Instruction
from linters.model import Finding

_MARK = re.compile(r"(imageforge|hadolint)\s+(?:(global|stage)\s+)?ignore\b(.*)$", re.IGNORECASE)
_NAMES = r"[A-Za-z]+[0-9]*(?:\s*,\s*[A-Za-z]+[0-9]*)*"
_FORM = re.compile(rf"\s*=\s*({_NAMES})(?:\s+(?:reason\s*=|#)\s*(\S.*))?$")
_SKIP = re.compile(r"check\s*=\s*(\S+)(?:\s+(?:reason\s*=|#)?\s*(\S.*))?$", re.IGNORECASE)
EVERYTHING = "*"
"""Of `# check=skip=all`: all checks of BuildKit's."""


class Scope(StrEnum):
    """How far an ignore comment reaches."""

    LINE = "line"
    STAGE = "stage"
    GLOBAL = "global"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignore:
    """One ignore comment. `rules` are in capitals, as written otherwise. It counts for lines `first` to `last`; both
    are 0 where it stands above nothing that it could mean. `tool` is ``imageforge``, ``hadolint`` or ``check``."""

    comment: Comment
    tool: str
    scope: Scope
    rules: frozenset[str]
    reason: str | None
    first: int
    last: int

    def complete(self, *, strict: bool) -> bool:
        """Whether it names rules, has a place, and a reason where one is asked for: always of ours, and in `strict`
        of others too."""
        reasoned = bool(self.reason) or (self.tool != "imageforge" and not strict)
        return bool(self.rules and self.first and reasoned)


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """By which names a finding goes besides its id: of its rule those that hadolint and BuildKit have."""

    covers: frozenset[str] = frozenset()
    alias: str = ""


class Waivers:
    """The ignore comments of a file that count."""

    def __init__(self, found: Iterable[Ignore], *, strict: bool = False) -> None:
        self._ignores = tuple(ignore for ignore in found if ignore.complete(strict=strict))

    def silence(self, finding: Finding, names: Names) -> Ignore | None:
        """The comment that means `finding`, or None."""
        if not self._ignores:
            return None
        called = {finding.rule.upper(), *names.covers}
        if names.alias:
            called |= {names.alias.upper(), EVERYTHING}
        for ignore in self._ignores:
            if ignore.first <= finding.line <= ignore.last and ignore.rules & called:
                return ignore
            if ignore.scope is Scope.GLOBAL and finding.line == 0 and ignore.rules & called:
                return ignore
        return None


def ignores(dockerfile: Dockerfile) -> Iterator[Ignore]:
    """The ignore comments of a file, complete or not, in file order; BuildKit's directive first."""
    for directive in dockerfile.directives:
        if directive.name == "check":
            comment = Comment(text=f"check={directive.value}", line=directive.line, column=1)
            skipped = check_options(directive.value.split()[0]).skipped
            if skipped:
                yield _skip(comment, skipped, None, 1, len(dockerfile.lines), Scope.GLOBAL)
    if not any("ignore" in one.text or "check" in one.text.lower() for one in dockerfile.comments):
        return
    below = {comment.line: at for at, one in enumerate(dockerfile.instructions) for comment in one.comments}
    for comment in dockerfile.comments:
        at = below.get(comment.line)
        mark = _MARK.match(comment.text)
        if mark is not None:
            yield _ignore(dockerfile, comment, mark, at)
            continue
        skip = _SKIP.match(comment.text)
        if skip is not None and at is not None:
            first, last = _place(dockerfile, at, Scope.LINE)
            names = check_options(skip.group(1)).skipped
            if names:
                yield _skip(comment, names, skip.group(2), first, last, Scope.LINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckOptions:
    """What `# check=` says: the checks that are skipped, in capitals or `EVERYTHING`, and whether one that speaks is an
    error."""

    skipped: frozenset[str] = frozenset()
    error: bool = False


def check_options(text: str) -> CheckOptions:
    """The value of a `# check=` directive, such as ``skip=JSONArgsRecommended;error=true``."""
    skipped: set[str] = set()
    error = False
    for part in text.split(";"):
        key, _, value = part.partition("=")
        if key.strip() == "skip":
            names = {name.strip().upper() for name in value.split(",") if name.strip()}
            skipped |= {EVERYTHING} if names == {"ALL"} else names
        elif key.strip() == "error":
            error = value.strip().lower() in ("true", "1", "t")
    return CheckOptions(skipped=frozenset(skipped), error=error)


def _ignore(dockerfile: Dockerfile, comment: Comment, mark: re.Match[str], at: int | None) -> Ignore:
    form = _FORM.match(mark.group(3).rstrip())
    scope = Scope((mark.group(2) or "line").lower())
    first, last = _place(dockerfile, at, scope)
    return Ignore(
        comment=comment,
        tool=mark.group(1).lower(),
        scope=scope,
        rules=frozenset(re.split(r"\s*,\s*", form.group(1).upper()) if form else ()),
        reason=form.group(2) if form else None,
        first=first,
        last=last,
    )


def _skip(comment: Comment, names: frozenset[str], reason: str | None, first: int, last: int, scope: Scope) -> Ignore:
    # The directive on top has no room for a reason; its own place is one that everybody sees.
    said = reason or ("a directive of the file" if scope is Scope.GLOBAL else None)
    return Ignore(comment=comment, tool="check", scope=scope, rules=names, reason=said, first=first, last=last)


def _place(dockerfile: Dockerfile, at: int | None, scope: Scope) -> tuple[int, int]:
    """The lines that a comment above instruction `at` counts for."""
    if scope is Scope.GLOBAL:
        return 1, max(1, len(dockerfile.lines))
    if at is None:
        return 0, 0
    instruction: Instruction = dockerfile.instructions[at]
    if scope is Scope.LINE:
        return instruction.line, instruction.end_line
    if instruction.keyword != "FROM":
        return 0, 0
    later = dockerfile.instructions[at + 1 :]
    following = next((one.line for one in later if one.keyword == "FROM"), len(dockerfile.lines) + 1)
    return instruction.line, following - 1

"""Ignore comments: `# imageforge ignore=IF101,DL3015 reason=why`, in the comment lines right above an instruction."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from linters.dockerfile import Comment, Dockerfile
from linters.model import Finding

_MARK = re.compile(r"imageforge\s+ignore\b(.*)$", re.IGNORECASE)
_FORM = re.compile(r"\s*=\s*([A-Za-z]+[0-9]+(?:\s*,\s*[A-Za-z]+[0-9]+)*)(?:\s+reason\s*=\s*(\S.*))?$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignore:
    """One ignore comment. It counts for lines `first` to `last`, an instruction's; both are 0 where none follows."""

    comment: Comment
    rules: frozenset[str]
    reason: str | None
    first: int
    last: int

    @property
    def complete(self) -> bool:
        """Whether it names rules, gives a reason and stands above an instruction."""
        return bool(self.rules and self.reason and self.first)


class Waivers:
    """The complete ignore comments of a file, by the instruction that each counts for."""

    def __init__(self, found: Iterable[Ignore]) -> None:
        self._rules: dict[int, frozenset[str]] = {}
        self._last: dict[int, int] = {}
        for ignore in found:
            if ignore.complete:
                self._rules[ignore.first] = self._rules.get(ignore.first, frozenset()) | ignore.rules
                self._last[ignore.first] = ignore.last
        self._starts = sorted(self._rules)

    def silence(self, finding: Finding) -> bool:
        """Whether one of the comments means `finding`."""
        index = bisect_right(self._starts, finding.line) - 1
        if index < 0:
            return False
        start = self._starts[index]
        return finding.line <= self._last[start] and finding.rule.upper() in self._rules[start]


def ignores(dockerfile: Dockerfile) -> Iterator[Ignore]:
    """The ignore comments of a file, complete or not, in file order."""
    below = {comment.line: instruction for instruction in dockerfile.instructions for comment in instruction.comments}
    for comment in dockerfile.comments:
        mark = _MARK.match(comment.text)
        if mark is None:
            continue
        form = _FORM.match(mark.group(1).rstrip())
        named = re.split(r"\s*,\s*", form.group(1).upper()) if form else []
        instruction = below.get(comment.line)
        yield Ignore(
            comment=comment,
            rules=frozenset(named),
            reason=form.group(2) if form else None,
            first=instruction.line if instruction else 0,
            last=instruction.end_line if instruction else 0,
        )

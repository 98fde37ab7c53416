"""Mends a text by the edits of its findings, again until nothing is left to mend.

Edits of one finding go together or not at all; where two findings touch the same characters the first one wins, and the
other has its turn in the next round. A change that would leave a text with more problems of syntax than before is not
made: it would be a fault of the rule's, and the file is somebody's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from linters.dockerfile import parse
from linters.model import Edit, Finding

ROUNDS = 10
"""Enough for one mend to uncover another; two rules that undo each other end here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixed:
    """A text after its mending, and the findings that were mended, in the order in which they were."""

    text: str
    applied: tuple[Finding, ...]


Look = Callable[[str], Iterable[Finding]]


def fix(text: str, look: Look, *, unsafe: bool = False) -> Fixed:
    """`text` with all that `look` finds in it mended, as far as the findings say how; `unsafe` also by those that may
    change what is built."""
    applied: list[Finding] = []
    seen = {text}
    for _ in range(ROUNDS):
        wanted = [one for one in look(text) if one.edits and (one.safe or unsafe)]
        mended, done = _round(text, wanted)
        if not done or mended in seen:
            break
        text = mended
        seen.add(text)
        applied += done
    return Fixed(text=text, applied=tuple(applied))


def apply(text: str, edits: Sequence[Edit]) -> str:
    """`text` with edits made that do not overlap."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=_place):
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*parts, text[at:]])


def _round(text: str, findings: Sequence[Finding]) -> tuple[str, list[Finding]]:
    """One pass over the findings, each mended unless one before it is in the way."""
    chosen: list[Edit] = []
    done: list[Finding] = []
    for finding in findings:
        if _fits(text, finding.edits, chosen):
            chosen += [edit for edit in finding.edits if edit not in chosen]
            done.append(finding)
    mended = apply(text, chosen)
    if len(parse(mended).problems) <= len(parse(text).problems):
        return mended, done
    # One of them is wrong: each alone then, and only those that leave a sound file.
    for finding in findings:
        alone = apply(text, finding.edits) if _fits(text, finding.edits, []) else text
        if alone != text and len(parse(alone).problems) <= len(parse(text).problems):
            return alone, [finding]
    return text, []


def _fits(text: str, edits: Sequence[Edit], taken: Sequence[Edit]) -> bool:
    """Whether edits lie in the text, apart from each other and from those `taken`; the same change twice is one."""
    if any(not 0 <= edit.start <= edit.end <= len(text) for edit in edits):
        return False
    mine = sorted(edits, key=_place)
    if any(_touch(one, other) for one, other in pairwise(mine)):
        return False
    return not any(_touch(edit, other) for edit in edits for other in taken if edit != other)


def _touch(one: Edit, other: Edit) -> bool:
    first, second = sorted((one, other), key=_place)
    # Two insertions at one place have no order that anybody has said.
    return second.start < first.end or second.start == first.start


def _place(edit: Edit) -> tuple[int, int]:
    return edit.start, edit.end

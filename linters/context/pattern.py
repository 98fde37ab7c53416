"""One line of a .dockerignore, and what it matches."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field

_WILD = re.compile(r"[*?\[\\]")
_STAR, _ALL, _DEEP, _NOTHING = "[^/]*", ".*", "(?:.*/)?", "(?!)"
_BACKTRACKING = 2
"""Stars that `re` may try in all their lengths. With more, one line of a stranger's .dockerignore could keep it, and
the interpreter's lock, for hours; Go's expressions, whose rules these are, take linear time."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: `text` is clean (no leading or trailing slash), `again` brings back what it matches."""

    text: str
    again: bool
    matches: Callable[[str], bool] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, line: str) -> Pattern | None:
        """None for an empty line. Raises ValueError for a malformed one."""
        text = line.strip()
        again = text.startswith("!")
        if again:
            text = text[1:].strip()
            if not text:
                raise ValueError("'!' without a pattern")
        if not text:
            return None
        text = posixpath.normpath(text)
        text = text.lstrip("/") or "/"
        return cls(text, again, _matcher(text))

    def may_match_below(self, folder: str) -> bool:
        """Whether the pattern could match something in the folder, whose name ends in `/`. Rather true than false."""
        wild = _WILD.search(self.text)
        literal = self.text[: wild.start()] if wild else self.text
        return literal.startswith(folder) or (wild is not None and folder.startswith(literal))


def _matcher(text: str) -> Callable[[str], bool]:
    """moby's three short cuts differ from its expressions, so they are kept: `**x` is any path that ends in x, and
    `a**` any that begins with a, slashes or not."""
    if text.startswith("**") and not _WILD.search(text[2:]):
        tail = text[2:]
        return lambda path: path.endswith(tail) or (tail.startswith("/") and path == tail[1:])
    if text.endswith("**") and not _WILD.search(text[:-2]):
        return lambda path: path.startswith(text[:-2])
    if not _WILD.search(text):
        return lambda path: path == text
    tokens = _tokens(text)
    if sum(token in (_STAR, _ALL, _DEEP) for token in tokens) > _BACKTRACKING:
        return _Automaton(tokens).matches
    expression = re.compile("".join(tokens), re.DOTALL)
    return lambda path: expression.fullmatch(path) is not None


class _Automaton:
    """All places in the pattern that a path may have come to, as the bits of a number: time goes with the path.

    A token is a loop (`_STAR`, `_ALL`), which may be passed by, or one character; `_DEEP` is both, passed by at once.
    """

    def __init__(self, tokens: list[str]) -> None:
        self._steps: list[str] = []
        self._skips: list[tuple[int, int]] = []
        for token in tokens:
            place = len(self._steps)
            if token == _DEEP:
                # Passed by from a place of its own: who has entered the loop must leave it by a slash.
                self._steps += [_NOTHING, _ALL, "/"]
                self._skips += [(place, place + 1), (place, place + 3), (place + 1, place + 2)]
            else:
                self._steps.append(token)
                self._skips += [(place, place + 1)] if token in (_STAR, _ALL) else []
        self._accepting: dict[str, tuple[int, int]] = {}

    def matches(self, path: str) -> bool:
        """Whether the whole path is matched."""
        places = self._reached(1)
        for character in path:
            stay, go = self._accepting.get(character) or self._learnt(character)
            places = self._reached((places & stay) | ((places & go) << 1))
            if not places:
                return False
        return bool(places >> len(self._steps))

    def _reached(self, places: int) -> int:
        for start, end in self._skips:
            if places >> start & 1:
                places |= 1 << end
        return places

    def _learnt(self, character: str) -> tuple[int, int]:
        stay = go = 0
        for place, step in enumerate(self._steps):
            if re.fullmatch(
                "." if step == _ALL else step.removesuffix("*") if step == _STAR else step, character, re.S
            ):
                if step in (_STAR, _ALL):
                    stay |= 1 << place
                else:
                    go |= 1 << place
        self._accepting[character] = stay, go
        return stay, go


def _tokens(text: str) -> list[str]:
    """Regular expressions of one character each, or one of the three stars."""
    tokens: list[str] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if text.startswith("**", at - 1):
            at += 2 if text.startswith("/", at + 1) else 1
            tokens.append(_DEEP if at < len(text) else _ALL)
        elif character == "*":
            tokens.append(_STAR)
        elif character == "?":
            tokens.append("[^/]")
        elif character == "[":
            group, at = _group(text, at)
            tokens.append(group)
        elif character == "\\":
            if at == len(text):
                raise ValueError("\\ at the end")
            tokens.append(re.escape(text[at]))
            at += 1
        else:
            tokens.append(re.escape(character))
    return tokens


def _group(text: str, at: int) -> tuple[str, int]:
    """`[...]` as Go's filepath.Match has it: `^` negates, `!` does not, `\\` escapes, an empty one is malformed."""
    negated = text.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while True:
        if text.startswith("]", at) and ranges:
            return f"[{'^' if negated else ''}{''.join(ranges)}]", at + 1
        low, at = _member(text, at)
        high = low
        if text.startswith("-", at):
            high, at = _member(text, at + 1)
        if low > high:
            raise ValueError(f"the range {low}-{high} is empty")
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")


def _member(text: str, at: int) -> tuple[str, int]:
    if text.startswith("\\", at):
        at += 1
    elif text[at : at + 1] in ("-", "]"):
        raise ValueError("malformed [...]")
    if at >= len(text):
        raise ValueError("[ without ]")
    return text[at], at + 1

"""Where an offset of a text lies, as editors count: lines and columns from 1."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

_MARK = "\ufeff"


class Places:
    """The lines of one text. A byte order mark is counted by offsets and is no column."""

    def __init__(self, text: str) -> None:
        lengths = (len(line) + 1 for line in text.split("\n")[:-1])
        self._starts = list(accumulate(lengths, initial=0))
        self._mark = len(_MARK) if text.startswith(_MARK) else 0
        self._length = len(text)

    def holds(self, start: int, end: int) -> bool:
        """Whether both offsets are in the text."""
        return 0 <= start <= end <= self._length

    def of(self, offset: int) -> tuple[int, int]:
        """Line and column of the character at `offset`; the end of the text is a place too."""
        line = bisect_right(self._starts, offset)
        column = offset - self._starts[line - 1] + 1
        return line, max(1, column - (self._mark if line == 1 else 0))

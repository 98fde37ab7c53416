"""What can be counted in a text. Nothing is kept between calls, so any replica gives the same answer."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

WORDS_A_MINUTE = 238  # silent reading of English prose: Brysbaert, Journal of Memory and Language 109 (2019)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)")


@dataclass(frozen=True)
class Statistics:
    """Counts of one text; `top` holds the most frequent words, lower case, with ties in order of the alphabet."""

    characters: int
    words: int
    unique_words: int
    sentences: int
    reading_seconds: int
    top: tuple[tuple[str, int], ...]


def measure(text: str, *, top: int = 5) -> Statistics:
    """The statistics of `text`. A text with words has one sentence at least, whether or not it ends in a stop."""
    words = [match.group().lower() for match in _WORD.finditer(text)]
    counts = Counter(words)
    ends = len(_SENTENCE_END.findall(text))
    unfinished = bool(_WORD.search(_SENTENCE_END.split(text)[-1]))
    return Statistics(
        characters=len(text),
        words=len(words),
        unique_words=len(counts),
        sentences=(ends + unfinished) if words else 0,
        reading_seconds=round(len(words) * 60 / WORDS_A_MINUTE),
        top=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]),
    )

"""Secret values kept out of logs, events and errors: `***` wherever a value, or a usual spelling of it, would stand.

`Mask` does whole texts and JSON, `MaskedLines` a stream that is cut anywhere, `LineMask` a log that comes line by line.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

STARS = "***"

# A shorter value is a part of ordinary words and numbers: every log would be full of ***.
_SHORTEST = 4
# Parts of a value have less to tell them from ordinary text than the whole.
_SHORTEST_PART = 8
# The widths at which base64(1) and PEM writers break lines.
_WRAPPED_AT = (76, 64)
_LINES_OF_A_SECRET = 3


class Mask:
    """What must not be seen. Values of fewer than 4 characters, or of blanks alone, are not masked."""

    __slots__ = ("_heads", "_longest", "_pattern", "_spellings")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._spellings = sorted({spelling for value in secrets for spelling in _spellings(value)})
        self._pattern = _alternation(self._spellings)
        self._longest = max(map(len, self._spellings), default=0)
        self._heads = frozenset(spelling[:length] for spelling in self._spellings for length in range(1, _SHORTEST + 1))

    def __repr__(self) -> str:
        return f"Mask({STARS})"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to mask."""
        return not self._spellings

    def text(self, text: str) -> str:
        """The text with `***` for every stretch that secrets cover; the same object where there is none."""
        spans = self.spans(text)
        return _starred(text, spans) if spans else text

    def data(self, value: Any) -> Any:
        """JSON with its strings masked, keys too; everything else is as it was."""
        if self.empty:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.data(entry) for entry in value]
        if isinstance(value, dict):
            found: dict[Any, Any] = {}
            for key, entry in value.items():
                masked = self.data(key) if isinstance(key, str) else key
                # Two keys may become one by masking, and neither entry may get lost.
                while masked in found:
                    masked = f"{masked}*"
                found[masked] = self.data(entry)
            return found
        return value

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where secrets stand, as (start, end) in their order; those that overlap are one."""
        return _merged(self._found(text))

    def unfinished(self, text: str, start: int = 0) -> int:
        """Where the longest tail of text[start:] begins that more text could make a secret; its length if none."""
        for position in range(max(start, len(text) - self._longest + 1), len(text)):
            if text[position : position + _SHORTEST] in self._heads and self._goes_on(text[position:]):
                return position
        return len(text)

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        position = 0
        while match := self._pattern.search(text, position):
            yield match.span()
            position = match.start() + 1  # not its end: another may begin inside of this one and go on behind it

    def _goes_on(self, beginning: str) -> bool:
        # Whatever begins so sorts right behind it.
        place = bisect_right(self._spellings, beginning)
        return place < len(self._spellings) and self._spellings[place].startswith(beginning)


class MaskedLines:
    """A stream in pieces that are cut anywhere: what comes out, joined, is `mask.text` of what went in, joined."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = ""
        self._covered = 0  # so many characters of what is held belong to a *** that has been told

    def feed(self, piece: str) -> str:
        """What can be told by now: all but a tail that could still be the beginning of a secret."""
        if self._mask.empty:
            return piece
        text = self._held + piece
        return self._tell(text, self._mask.unfinished(text))

    def close(self) -> str:
        """The rest."""
        return self._tell(self._held, len(self._held))

    def _tell(self, text: str, until: int) -> str:
        told, covered = [], self._covered
        for start, end in self._mask.spans(text):
            if start >= until:
                break
            if start >= covered:
                told += [text[covered:start], STARS]
            covered = max(covered, end)
        told.append(text[covered:until])
        self._held, self._covered = text[until:], max(covered - until, 0)
        return "".join(told)


@dataclass(kw_only=True, slots=True)
class _Line:
    body: str
    ending: str
    spans: set[tuple[int, int]] = field(default_factory=set)

    def masked(self) -> str:
        return _starred(self.body, _merged(self.spans)) + self.ending


class LineMask:
    """A log line by line, with or without line ends; a secret that is spread over up to 3 lines is masked in each.

    As many lines come out as went in, in their order. Up to 2 are held back while their end could be the beginning
    of a secret.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held: list[_Line] = []

    def feed(self, line: str) -> list[str]:
        """The lines that can be told by now: none, one or several."""
        if self._mask.empty:
            return [line]
        body = line.rstrip("\r\n")
        self._held.append(_Line(body=body, ending=line[len(body) :]))
        joined = "".join(held.body for held in self._held)
        ends = self._mark(self._mask.spans(joined))
        # A secret that began further up would be spread over too many lines once the next one has come.
        room = len(ends) - _LINES_OF_A_SECRET + 1
        until = self._mask.unfinished(joined, ends[room - 1] if room > 0 else 0)
        return self._tell(sum(end <= until for end in ends))

    def close(self) -> list[str]:
        """The lines that are left."""
        return self._tell(len(self._held))

    def _mark(self, spans: list[tuple[int, int]]) -> list[int]:
        """Gives each line its share of spans of the joined lines; returns where the lines end."""
        ends, begin = [], 0
        for line in self._held:
            size = len(line.body)
            cut = ((max(start - begin, 0), min(end - begin, size)) for start, end in spans)
            line.spans.update((start, end) for start, end in cut if start < end)
            begin += size
            ends.append(begin)
        return ends

    def _tell(self, count: int) -> list[str]:
        told, self._held = self._held[:count], self._held[count:]
        return [line.masked() for line in told]


def _starred(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, position = [], 0
    for start, end in spans:
        pieces += [text[position:start], STARS]
        position = end
    return "".join([*pieces, text[position:]])


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _alternation(spellings: Iterable[str]) -> re.Pattern[str]:
    """Any of the spellings, the longest first. `re` tries alternatives one after another, so they are sorted by their
    first two characters; deeper nesting would gain little, and long runs of common beginnings exceed its recursion."""
    by_head: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for spelling in spellings:
        by_head[spelling[0]][spelling[1]].append(spelling[2:])
    firsts = [
        re.escape(first) + _any_of(re.escape(second) + _any_of(_rests(rests)) for second, rests in seconds.items())
        for first, seconds in by_head.items()
    ]
    return re.compile(_any_of(firsts) if firsts else r"(?!)")


def _any_of(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(patterns)})"


def _rests(rests: list[str]) -> list[str]:
    return [re.escape(rest) for rest in sorted(rests, key=len, reverse=True)]


def _spellings(value: str) -> Iterator[str]:
    """A value as it may turn up in text."""
    if len(value) < _SHORTEST or value.isspace():
        return
    # A shell's $(cat file) drops the line end, and `tr -d` or a log that is read line by line all of them.
    wholes = {value, value.strip(), re.sub(r"[\r\n]", "", value)}
    for whole in wholes:
        if len(whole) >= _SHORTEST and not whole.isspace():
            yield whole
            yield from _quoted(whole)
            yield from _encoded(whole)
    if "\n" in value.strip():
        yield from (line.strip() for line in value.split("\n") if len(line.strip()) >= _SHORTEST_PART)


def _quoted(value: str) -> Iterator[str]:
    """Escaped as JSON, Go, Python and shells do, without the quotes around it."""
    plain = json.dumps(value, ensure_ascii=False)[1:-1]
    yield plain
    yield json.dumps(value)[1:-1]
    # Go escapes these in JSON, for the sake of HTML; Docker and BuildKit are written in Go.
    yield re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", plain)
    yield repr(value)[1:-1]
    quoted = shlex.quote(value)
    yield quoted if quoted == value else quoted[1:-1]
    yield value.replace("'", r"'\''")
    yield re.sub(r'["$`\\]', r"\\\g<0>", value)  # in double quotes
    yield re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", value)  # printf %q
    # $'...', which `set -x` prints for a value of several lines
    yield plain.replace(r"\"", '"').replace("'", r"\'")


def _encoded(value: str) -> Iterator[str]:
    """Its bytes in base64, in hexadecimal digits and percent-encoded."""
    raw = _utf8(value)
    yield raw.hex()
    yield raw.hex().upper()
    for percent in (quote(raw, safe=""), quote(raw), quote(raw, safe="!'()*"), quote_plus(raw)):
        yield percent
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), percent)
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        whole = encode(raw).decode()
        yield whole
        yield whole.rstrip("=")
        for width in _WRAPPED_AT:
            lines = (whole[start : start + width] for start in range(0, len(whole), width))
            yield from (line for line in lines if len(line) >= _SHORTEST_PART)
        for before in range(3):
            # Inside of a longer text, the characters at both ends hold bits of the neighbours: leave them out.
            coded = encode(bytes(before) + raw).decode()
            part = coded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
            if len(part) >= _SHORTEST_PART:
                yield part


def _utf8(value: str) -> bytes:
    try:
        return value.encode(errors="surrogateescape")  # what the environment gives for bytes that are not UTF-8
    except UnicodeEncodeError:
        return value.encode(errors="surrogatepass")

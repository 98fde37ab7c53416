"""Secrets kept out of a replica's last words, which are stored, and shown to whoever asks how it stands.

`imageforge logs` shows a replica's whole output, and that as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence

STARS = "***"
_SHORTEST = 4
"""A shorter value is a part of ordinary words and numbers."""
_SHORTEST_PART = 8
"""Parts of a value have less to tell them from ordinary text than the whole."""


def redact(lines: Sequence[str], secrets: Iterable[bytes]) -> tuple[str, ...]:
    """The lines with stars for what they have of the secrets: in plain text, escaped, in base64 or hexadecimal digits,
    and also where one is spread over several lines."""
    joined = "".join(lines)
    covered = [False] * len(joined)
    for spelling in {spelling for value in secrets for spelling in _spellings(value)}:
        at = joined.find(spelling)
        while at >= 0:
            covered[at : at + len(spelling)] = [True] * len(spelling)
            at = joined.find(spelling, at + 1)
    return tuple(_starred(lines, covered))


def _starred(lines: Sequence[str], covered: Sequence[bool]) -> Iterator[str]:
    begin = 0
    for line in lines:
        shown, hidden = [], False
        for char, is_secret in zip(line, covered[begin : begin + len(line)], strict=True):
            if not is_secret:
                shown.append(char)
            elif not hidden:
                shown.append(STARS)
            hidden = is_secret
        begin += len(line)
        yield "".join(shown)


def _spellings(value: bytes) -> Iterator[str]:
    text = value.decode(errors="replace")
    for whole in {text, text.strip(), text.replace("\r", "").replace("\n", "")}:
        if len(whole) >= _SHORTEST and not whole.isspace():
            yield whole
            yield repr(whole)[1:-1]
    # Of the bytes and not of the text, which bytes that are not UTF-8 have no part in.
    for raw in {value, value.strip()}:
        if len(raw) >= _SHORTEST:
            yield from _encoded(raw)
    if "\n" in text.strip():
        yield from (line.strip() for line in text.split("\n") if len(line.strip()) >= _SHORTEST_PART)


def _encoded(raw: bytes) -> Iterator[str]:
    yield raw.hex()
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode().rstrip("=")
        for before in range(3):
            # Inside of a longer text, the characters at both ends hold bits of the neighbours.
            part = encode(bytes(before) + raw).decode()[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
            if len(part) >= _SHORTEST_PART:
                yield part

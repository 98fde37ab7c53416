"""Splitting an instruction's arguments: at blanks, or with respect to quotes; flags and JSON arrays.

Rules as in BuildKit's `split_command.go` and `line_parsers.go`.
"""

from __future__ import annotations

import json
import re

from linters.dockerfile.model import Assignment, Flag, Word

_BLANK = re.compile(r"[\t\v\f\r ]+")
_SOLID = re.compile(r"[^\t\v\f\r ]+")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


class NotStrings(ValueError):
    """A JSON array that holds something else than strings."""


def split_blank(text: str, start: int) -> tuple[Word, ...]:
    """`text` split at blanks, quotes meaning nothing; `start` is its offset in the logical line."""
    return tuple(Word(text=m.group(), start=start + m.start(), end=start + m.end()) for m in _SOLID.finditer(text))


def split_quoted(text: str, start: int, escape: str) -> tuple[Word, ...]:
    """`text` split at blanks outside quotes; quotes and escapes stay in the words."""
    words: list[Word] = []
    position, length = 0, len(text)
    while position < length:
        if text[position].isspace():
            position += 1
            continue
        begin, quote = position, ""
        while position < length and (quote or not text[position].isspace()):
            char = text[position]
            if char == escape and quote != "'":
                position += 1
            elif quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            position += 1
        position = min(position, length)
        words.append(Word(text=text[begin:position], start=start + begin, end=start + position))
    return tuple(words)


def split_flags(text: str, start: int, escape: str) -> tuple[tuple[Flag, ...], int]:
    """The leading `--flags` of `text`, and the offset in `text` where the arguments begin."""
    flags: list[Flag] = []
    position = 0
    while True:
        while position < len(text) and text[position].isspace():
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), position
        word = split_quoted(text[position:], start + position, escape)[0]
        position = word.end - start
        if word.text == "--":
            return tuple(flags), position
        name, equals, value = unquote(word.text, escape)[2:].partition("=")
        flags.append(Flag(name=name, value=value if equals else None, start=word.start, end=word.end))


def unquote(text: str, escape: str) -> str:
    """`text` without its quotes and escapes, as a flag or a heredoc's word means it."""
    result: list[str] = []
    quote, position = "", 0
    while position < len(text):
        char = text[position]
        if char == escape and position + 1 < len(text):
            position += 1
            result.append(text[position])
        elif quote:
            if char == quote:
                quote = ""
            else:
                result.append(char)
        elif char in "'\"":
            quote = char
        else:
            result.append(char)
        position += 1
    return "".join(result)


def json_array(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None where `text` is none, which Docker then takes for the shell form.

    Raises NotStrings where the array is sound and holds something else.
    """
    if not text.lstrip().startswith("["):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise NotStrings
    return tuple(values)


def json_words(text: str, start: int) -> tuple[Word, ...]:
    """The places of a JSON array's strings, quotes included; one a string, in order."""
    return tuple(
        Word(text=match.group(), start=start + match.start(), end=start + match.end())
        for match in _JSON_STRING.finditer(text)
    )


def assignments(keyword: str, text: str, start: int, escape: str) -> tuple[Assignment, ...]:
    """The `name=value` pairs of ENV, LABEL and ARG, the old form `ENV name value` included.

    A word that is no pair where one is needed comes back with value None; the grammar makes an error of it.
    """
    words = split_quoted(text, start, escape)
    if keyword != "ARG" and words and "=" not in words[0].text:
        parts = _BLANK.split(text.strip(), maxsplit=1)
        value = parts[1] if len(parts) > 1 else None
        return (Assignment(name=parts[0], value=value, start=words[0].start, end=words[-1].end),)
    pairs = []
    for word in words:
        name, equals, value = word.text.partition("=")
        pairs.append(Assignment(name=name, value=value if equals else None, start=word.start, end=word.end))
    return tuple(pairs)

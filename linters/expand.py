"""Variable expansion with three kinds of knowledge: a text, known to be unset, or undetermined.

The rules are those of BuildKit's `frontend/dockerfile/shell/lex.go`. Whatever depends on something that the file does
not tell makes the whole word undetermined, which is None; expansion never fails.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass

# Texts that grow by naming themselves (ENV A=$A$A) end here; nothing that a rule looks at is as long.
_LONGEST = 16 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Undetermined(Exception):
    """The word depends on something unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The variables at one place. A name maps to its text, or to None where its text is unknown.

    `closed` says that a name not listed is unset; else it may come from the base image and is unknown.
    """

    values: Mapping[str, str | None]
    closed: bool = False

    def expand(self, text: str, *, escape: str = "\\") -> str | None:
        """`text` with quotes and escapes taken off and variables replaced; None where it cannot be told."""
        try:
            return _Lexer(text, self, escape).run()
        except (_Undetermined, RecursionError):
            return None

    def look_up(self, name: str) -> str | None:
        """The text of `name`, None where it is unset. Raises _Undetermined where nobody can tell."""
        if name in self.values:
            value = self.values[name]
            if value is None:
                raise _Undetermined
            return value
        if self.closed:
            return None
        raise _Undetermined


class _Lexer:
    def __init__(self, text: str, scope: Scope, escape: str) -> None:
        self.text = text
        self.scope = scope
        self.escape = escape
        self.position = 0

    def run(self, stop: str = "") -> str:
        """Reads up to the character `stop` outside quotes, which is eaten, or up to the end."""
        result: list[str] = []
        length = 0
        while self.position < len(self.text):
            char = self.text[self.position]
            if char == stop:
                self.position += 1
                return "".join(result)
            result.append(self._one(char))
            length += len(result[-1])
            if length > _LONGEST:
                raise _Undetermined
        if stop:
            raise _Undetermined
        return "".join(result)

    def _one(self, char: str) -> str:
        if char == "'":
            return self._single()
        if char == '"':
            return self._double()
        if char == "$":
            return self._dollar()
        if char == self.escape and self.position + 1 < len(self.text):
            self.position += 1
            char = self.text[self.position]
        self.position += 1
        return char

    def _single(self) -> str:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise _Undetermined
        body = self.text[self.position + 1 : end]
        self.position = end + 1
        return body

    def _double(self) -> str:
        result: list[str] = []
        length = 0
        self.position += 1
        while self.position < len(self.text):
            char = self.text[self.position]
            length += len(result[-1]) if result else 0
            if char == '"':
                self.position += 1
                return "".join(result)
            following = self.text[self.position + 1 : self.position + 2]
            if length > _LONGEST:
                raise _Undetermined
            if char == "$":
                result.append(self._dollar())
            elif char == self.escape and following and following in f'"${self.escape}':
                result.append(following)
                self.position += 2
            else:
                result.append(char)
                self.position += 1
        raise _Undetermined

    def _dollar(self) -> str:
        self.position += 1
        if self.text.startswith("{", self.position):
            self.position += 1
            return self._brace()
        match = _NAME.match(self.text, self.position)
        if match is None:
            if self.text[self.position : self.position + 1] in tuple("0123456789@*#?-$!"):
                raise _Undetermined
            return "$"
        self.position = match.end()
        return self.scope.look_up(match.group()) or ""

    def _brace(self) -> str:
        match = _NAME.match(self.text, self.position)
        if match is None:
            raise _Undetermined
        self.position = match.end()
        modifier = re.compile(r"\}|:?[-+?]|##?|%%?|//?").match(self.text, self.position)
        if modifier is None:
            raise _Undetermined
        self.position = modifier.end()
        name, sign = match.group(), modifier.group()
        if sign == "}":
            return self.scope.look_up(name) or ""
        if sign.startswith("/"):
            return self._replace(name, everywhere=sign == "//")
        if sign.startswith(("#", "%")):
            return self._trim(name, sign)
        return self._default(name, sign)

    def _default(self, name: str, sign: str) -> str:
        """`:-`, `-`, `:+`, `+`, `:?` and `?`; an operand that is not used may be undetermined."""
        operand = self._operand()
        value = self.scope.look_up(name)
        present = bool(value) if sign.startswith(":") else value is not None
        if sign.endswith("+"):
            return self._determined(operand) if present else ""
        if present:
            return value or ""
        if sign.endswith("?"):
            raise _Undetermined
        return self._determined(operand)

    def _operand(self) -> str | None:
        """The word up to the closing brace; None where it is undetermined, the brace being eaten all the same."""
        start = self.position
        try:
            return self.run("}")
        except _Undetermined:
            end = _closing(self.text, start)
            if end < 0:
                raise
            self.position = end + 1
            return None

    @staticmethod
    def _determined(text: str | None) -> str:
        if text is None:
            raise _Undetermined
        return text

    def _trim(self, name: str, sign: str) -> str:
        pattern = self._determined(self._operand())
        value = self.scope.look_up(name) or ""
        if len(value) * len(pattern) > _LONGEST:
            raise _Undetermined
        matcher = re.compile(fnmatch.translate(pattern.replace("[", "[[]")))
        lengths = range(len(value) + 1) if len(sign) == 1 else range(len(value), -1, -1)
        for length in lengths:
            cut = value[:length] if sign[0] == "#" else value[len(value) - length :]
            if matcher.match(cut):
                return value[length:] if sign[0] == "#" else value[: len(value) - length]
        return value

    def _replace(self, name: str, *, everywhere: bool) -> str:
        pattern = self.run("/")
        replacement = self._determined(self._operand())
        value = self.scope.look_up(name) or ""
        if any(char in pattern for char in "*?[\\"):
            raise _Undetermined
        return value.replace(pattern, replacement, -1 if everywhere else 1) if pattern else value


def _closing(text: str, start: int) -> int:
    """The brace that closes what was opened before `start`, or -1."""
    depth = 1
    for position in range(start, len(text)):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    return -1

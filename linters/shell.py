"""A shell script as simple commands: as much of the POSIX grammar as rules need, and never a failure.

Words keep their offsets in the script. Quotes are taken off; `$name` stays as it is written. Commands inside `( )` and
`{ }` and behind `then`, `do` and the like are commands of their own; those inside `$( )` are not looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|\|&|[;|&()\n]")
_REDIRECT = re.compile(r"(\d*|&)(<<<|<<-|<<|<>|>>|>\||>&|<&|<|>)|\d*[<>]&[-\d]")
_BEFORE_COMMAND = frozenset({"if", "then", "else", "elif", "while", "until", "do", "!", "{", "time"})
_CLOSING = frozenset({"fi", "done", "esac", "}"})
_OPENING = frozenset({"if", "while", "until", "for", "case", "select", "{"})
_NO_COMMAND = frozenset({"for", "case", "select", "function", "in"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShellWord:
    """One word; `text` is without quotes, `start` and `end` are offsets in the script."""

    text: str
    start: int
    end: int
    quoted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One simple command. `after` is the operator behind it, empty at the end; a newline counts as `;`. `depth` counts
    the `if`, `for`, `while`, `case` and `{` around it."""

    words: tuple[ShellWord, ...]
    assignments: tuple[str, ...] = ()
    redirected: bool = False
    after: str = ""
    depth: int = 0

    @property
    def argv(self) -> tuple[str, ...]:
        """The words' texts."""
        return tuple(word.text for word in self.words)

    @property
    def start(self) -> int:
        """Offset of its first character."""
        return self.words[0].start

    @property
    def end(self) -> int:
        """Offset behind its last character."""
        return self.words[-1].end


def commands(script: str) -> tuple[Command, ...]:
    """The simple commands of `script` in order of appearance."""
    return tuple(_Reader(script).run())


class _Reader:
    def __init__(self, script: str) -> None:
        self.script = script
        self.position = 0
        self.found: list[Command] = []
        self.words: list[ShellWord] = []
        self.redirected = False
        self.depth = 0
        self.heredocs: list[tuple[str, bool]] = []

    def run(self) -> list[Command]:
        while self.position < len(self.script):
            self._step()
        self._finish("")
        return self.found

    def _step(self) -> None:
        script, position = self.script, self.position
        if script.startswith("\\\n", position):
            self.position += 2
            return
        char = script[position]
        if char in " \t\r":
            self.position += 1
            return
        if char == "#":
            end = script.find("\n", position)
            self.position = len(script) if end < 0 else end
            return
        redirect = _REDIRECT.match(script, position)
        if redirect or script.startswith("&>", position):
            self._redirect(redirect.group() if redirect else "&>")
            return
        operator = _OPERATOR.match(script, position)
        if operator:
            self._operator(operator.group())
            return
        word = self._word()
        self.words.append(word)

    def _operator(self, operator: str) -> None:
        self.position += len(operator)
        self._finish(";" if operator in ("\n", "(", ")") else operator)
        if operator == "\n":
            self._skip_heredocs()

    def _redirect(self, operator: str) -> None:
        self.position += len(operator)
        self.redirected = True
        if operator[-1] in "-0123456789":
            return
        while self.position < len(self.script) and self.script[self.position] in " \t":
            self.position += 1
        if self.position >= len(self.script) or self.script[self.position] in "\n;|&()":
            return
        target = self._word()
        sign = operator.lstrip("0123456789")
        if sign in ("<<", "<<-"):
            self.heredocs.append((target.text, sign == "<<-"))

    def _skip_heredocs(self) -> None:
        for name, strip_tabs in self.heredocs:
            while self.position < len(self.script):
                end = self.script.find("\n", self.position)
                end = len(self.script) if end < 0 else end
                line = self.script[self.position : end].rstrip("\r")
                self.position = min(end + 1, len(self.script))
                if (line.lstrip("\t") if strip_tabs else line) == name:
                    break
        self.heredocs.clear()

    def _word(self) -> ShellWord:
        start, text, quoted = self.position, [], False
        while self.position < len(self.script):
            char = self.script[self.position]
            if char in " \t\r\n;|&()<>":
                break
            if char == "\\":
                following = self.script[self.position + 1 : self.position + 2]
                text.append("" if following == "\n" else following)
                self.position += 2
            elif char == "'":
                quoted = True
                text.append(self._until("'"))
            elif char == '"':
                quoted = True
                text.append(self._double())
            elif char == "`":
                text.append(self._until("`"))
            elif self.script.startswith(("$(", "${"), self.position):
                text.append(self._nested())
            else:
                text.append(char)
                self.position += 1
        self.position = min(self.position, len(self.script))
        if self.position == start:  # never stand still, whatever comes
            self.position += 1
        return ShellWord(text="".join(text), start=start, end=self.position, quoted=quoted)

    def _until(self, quote: str) -> str:
        end = self.script.find(quote, self.position + 1)
        end = len(self.script) if end < 0 else end
        body = self.script[self.position + 1 : end]
        self.position = end + 1
        return body

    def _double(self) -> str:
        text: list[str] = []
        self.position += 1
        while self.position < len(self.script) and self.script[self.position] != '"':
            if self.script[self.position] == "\\":
                text.append(self.script[self.position + 1 : self.position + 2])
                self.position += 2
            elif self.script.startswith(("$(", "${"), self.position):
                text.append(self._nested())
            else:
                text.append(self.script[self.position])
                self.position += 1
        self.position += 1
        return "".join(text)

    def _nested(self) -> str:
        """`$( )` or `${ }` as it is written, the brackets inside counted."""
        start = self.position
        opening = self.script[start + 1]
        closing = ")" if opening == "(" else "}"
        depth = 0
        self.position += 1
        while self.position < len(self.script):
            char = self.script[self.position]
            if char == "\\":
                self.position += 2
                continue
            if char == "'" and opening == "(":
                self._until("'")
                continue
            depth += (char == opening) - (char == closing)
            self.position += 1
            if depth == 0:
                break
        self.position = min(self.position, len(self.script))
        return self.script[start : self.position]

    def _finish(self, operator: str) -> None:
        words, redirected = self.words, self.redirected
        self.words, self.redirected = [], False
        while words and not words[0].quoted and words[0].text in _BEFORE_COMMAND | _CLOSING:
            self.depth = max(0, self.depth + (words[0].text in _OPENING) - (words[0].text in _CLOSING))
            words = words[1:]
        if words and not words[0].quoted and words[0].text in _NO_COMMAND:
            self.depth += words[0].text in _OPENING
            return
        assigned = 0
        while assigned < len(words) and _ASSIGNMENT.match(words[assigned].text):
            assigned += 1
        assignments = tuple(word.text for word in words[:assigned])
        words = words[assigned:]
        if words:
            self.found.append(
                Command(
                    words=tuple(words), assignments=assignments, redirected=redirected, after=operator, depth=self.depth
                )
            )
        elif operator not in ("", ";") and self.found and self.found[-1].after == ";":
            # `( … ) &` and `{ …; } &`: the operator belongs to the group, and so to its last command.
            last = self.found[-1]
            self.found[-1] = replace(last, after=operator)

"""A shell script as simple commands, by tree-sitter's grammar of bash, and never a failure: what is no shell is read as
far as it goes.

Words keep their offsets in the script. Quotes are taken off; `$name` stays as it is written. Commands inside `( )`,
`{ }`, functions and behind `then`, `do` and the like are commands of their own; those inside `$( )` are not looked at.
"""

from __future__ import annotations

import re
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from tree_sitter import Language, Node, Parser

PATIENCE = 5.0
"""Seconds for one script; ten thousand lines take a tenth of one."""
MOST_PIPES = 3000
"""Signs of one script; two seconds, where they are one pipe."""
MOST_COMMANDS = 2000
"""Commands of one script, so that what looks at each beside all others comes to an end."""
_PIECE = 1 << 16
_OPERATORS = frozenset({"&&", "||", ";", "&", "|", "|&", ";;", ";&", ";;&"})
_OF_GROUPS = frozenset({"&&", "||", "&", "|", "|&"})
_COMMANDS = frozenset({"command", "declaration_command", "unset_command", "test_command"})
_REDIRECTS = frozenset({"file_redirect", "heredoc_redirect", "herestring_redirect"})
_SEPARATE = frozenset({"variable_assignment", "variable_assignments", "command_substitution", "process_substitution"})
"""What holds commands that are not looked at, or none."""
_COMPOUND = frozenset(
    {
        *("if_statement", "for_statement", "c_style_for_statement", "while_statement", "case_statement"),
        *("compound_statement", "function_definition"),
    }
)
_WORDS = frozenset(
    {
        "ansi_c_string",
        "arithmetic_expansion",
        "brace_expression",
        "command_name",
        "command_substitution",
        "concatenation",
        "expansion",
        "extglob_pattern",
        "number",
        "process_substitution",
        "raw_string",
        "regex",
        "simple_expansion",
        "string",
        "translated_string",
        "word",
    }
)
_QUOTED = frozenset({"ansi_c_string", "raw_string", "string", "translated_string"})
_ESCAPED = re.compile(r"\\(.|\n|$)", re.DOTALL)
_ESCAPED_IN_QUOTES = re.compile(r"\\([$`\"\\\n])")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShellWord:
    """One word; `text` is without quotes, `start` and `end` are offsets in the script."""

    text: str
    start: int
    end: int
    quoted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One simple command. `after` is the operator behind it, empty at the end; a newline counts as `;`. What stands
    behind `( … )` and the like is that of the group's last command. `depth` counts the `if`, `for`, `while`, `case`,
    `{ … }` and functions around it."""

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
    """The simple commands of `script` in order of appearance; none of one that has more than `MOST_COMMANDS`."""
    found = _Reader(script).run() if script.strip() else []
    return tuple(found) if len(found) <= MOST_COMMANDS else ()


@cache
def _grammar() -> Language:
    # Only who reads shell pays for it.
    import tree_sitter_bash  # noqa: PLC0415

    return Language(tree_sitter_bash.language())


def _parsed(data: bytes) -> Node | None:
    """The root of what is read; None where that takes too long: for what is no shell, time may grow with the square of
    its length, and for a pipe, in a part that nothing interrupts."""
    if data.count(b"|") > MOST_PIPES:
        return None
    until = time.monotonic() + PATIENCE

    def piece(at: int, _: object) -> bytes:
        return data[at : at + _PIECE]

    try:
        return Parser(_grammar()).parse(piece, progress_callback=lambda *_: time.monotonic() > until).root_node
    except ValueError:
        return None


class _Reader:
    def __init__(self, script: str) -> None:
        self.script = script
        self.data = script.encode("utf-8", errors="replace")
        self.offsets = None if len(self.data) == len(script) else _offsets(script)
        self.found: list[Command] = []
        self.depth = 0
        self.open = False
        """Whether the last command's operator is not known yet."""
        self.last = False
        """Whether nothing but ends of groups came since: `( … ) &` and `{ …; } &` put the last command behind."""

    def run(self) -> list[Command]:
        root = _parsed(self.data)
        waiting: list[tuple[Node, int]] = [] if root is None else [(root, 0)]
        while waiting:
            node, self.depth = waiting.pop()
            inside = self.depth + (node.type in _COMPOUND)
            below: Sequence[Node] = ()
            if node.type in _COMMANDS:
                self._add(_children(node))
            elif node.type in _REDIRECTS:
                self._redirected(node)
                # What stands behind `<<EOF` on its line is below it.
                below = [one for one in _flat(node) if one.type not in _WORDS]
            elif node.type in _OPERATORS and not node.is_named:
                self._operator(node.type)
            elif node.type == "ERROR":
                below = self._mended(node.children)
            elif node.type in _SEPARATE or node.type in _WORDS:
                self.last = False
            else:
                below = node.children
            waiting.extend((one, inside) for one in reversed(below))
        return self.found

    def _mended(self, nodes: Sequence[Node]) -> list[Node]:
        """Reads the words that what is no shell begins with as a command; the rest."""
        count = next((at for at, node in enumerate(nodes) if node.type not in _WORDS), len(nodes))
        if count:
            self._add(nodes[:count])
        rest: list[Node] = []
        for node in nodes[count:]:
            # Words further on are arguments of something that was not understood.
            if node.type not in _WORDS or node.type == "command_name":
                rest.append(node)
        return rest

    def _add(self, nodes: Sequence[Node]) -> None:
        words: list[ShellWord] = []
        assignments: list[str] = []
        redirected = False
        for node in nodes:
            if node.type == "variable_assignment" and not words:
                assignments.append(self._word(node).text)
            elif node.type in _REDIRECTS:
                redirected = True
                for extra in _beyond_target(node):
                    self._join(words, self._word(extra))
            elif node.end_byte > node.start_byte:
                self._join(words, self._word(node))
        if words:
            self._close(";")
            self.found.append(
                Command(words=tuple(words), assignments=tuple(assignments), redirected=redirected, depth=self.depth)
            )
            self.open = self.last = True

    @staticmethod
    def _join(words: list[ShellWord], word: ShellWord) -> None:
        last = words[-1] if words else None
        if last is None or last.end != word.start:
            words.append(word)
            return
        words[-1] = ShellWord(
            text=last.text + word.text, start=last.start, end=word.end, quoted=last.quoted or word.quoted
        )

    def _operator(self, operator: str) -> None:
        if self.last and self.found[-1].after == ";" and operator in _OF_GROUPS:
            self.open = True
        self._close(operator)

    def _close(self, operator: str) -> None:
        if self.open:
            self.found[-1] = replace(self.found[-1], after=operator)
            self.open = False

    def _redirected(self, node: Node) -> None:
        """The last command is. The grammar takes what follows `>file` for further files, where it is arguments."""
        if not self.found:
            return
        words = list(self.found[-1].words)
        for extra in _beyond_target(node):
            self._join(words, self._word(extra))
        self.found[-1] = replace(self.found[-1], words=tuple(words), redirected=True)

    def _word(self, node: Node) -> ShellWord:
        parts, quoted = [], False
        for part in _parts(node):
            parts.append(self._plain(part))
            quoted = quoted or part.type in _QUOTED
        return ShellWord(
            text="".join(parts), start=self._offset(node.start_byte), end=self._offset(node.end_byte), quoted=quoted
        )

    def _plain(self, node: Node) -> str:
        text = self._text(node)
        if node.type == "raw_string":
            return text[1:-1]
        if node.type == "ansi_c_string":
            return text[2:-1]
        if node.type in ("string", "translated_string"):
            return _ESCAPED_IN_QUOTES.sub(_unescaped, text[text.index('"') + 1 : -1])
        if node.type == "word":
            return _ESCAPED.sub(_unescaped, text)
        return text

    def _text(self, node: Node) -> str:
        return self.script[self._offset(node.start_byte) : self._offset(node.end_byte)]

    def _offset(self, byte: int) -> int:
        return byte if self.offsets is None else bisect_left(self.offsets, byte)


def _children(node: Node) -> list[Node]:
    """What a command is made of. Of `[ … ]` and `export A=b` the words are not told apart further than by blanks."""
    if node.type == "command":
        return node.children
    return [child for part in node.children for child in (_leaves(part) if node.type == "test_command" else [part])]


def _flat(node: Node) -> list[Node]:
    """What a redirect is made of; arguments behind `<<EOF` are an error to the grammar where an operator follows."""
    return [part for child in node.children for part in (child.children if child.type == "ERROR" else [child])]


def _beyond_target(node: Node) -> list[Node]:
    words = [child for child in _flat(node) if child.type in _WORDS]
    # A heredoc's own word is none of these.
    return words if node.type == "heredoc_redirect" else words[1:]


def _leaves(node: Node) -> list[Node]:
    """The words and signs of a condition, without recursion: how deep it is, is for its author to say."""
    found: list[Node] = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one.type in _WORDS or not one.children:
            found.append(one)
        else:
            waiting.extend(reversed(one.children))
    return found


def _parts(node: Node) -> Iterator[Node]:
    """The quoted and plain pieces of one word."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one.type in ("command_name", "concatenation", "variable_assignment"):
            waiting.extend(reversed(one.children))
        else:
            yield one


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def _offsets(script: str) -> list[int]:
    """Where each character begins, in bytes, and the end."""
    offsets, at = [], 0
    for char in script:
        offsets.append(at)
        at += len(char.encode("utf-8", errors="replace"))
    return [*offsets, at]

"""YAML text as a tree that remembers its lines, its scalars read as Kubernetes reads them.

Kubernetes turns YAML into JSON with go-yaml, whose rules differ from PyYAML's: ``12:30`` and ``2024-01-01`` are
strings, ``1e3`` and ``0o17`` are numbers, ``y`` and ``on`` are booleans. A key that occurs twice is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from runtime.errors import ManifestError

MAX_NODES = 50_000
"""Aliases can make a small text into an endless tree; no manifest of ours comes near this."""

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]

_PLAIN = "!plain"
_TEXT = "tag:yaml.org,2002:str"

_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_NULL = {"", "~", "null", "Null", "NULL"}
_WORDS: dict[str, bool | None] = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False) | dict.fromkeys(_NULL)
_INT = re.compile(r"^[-+]?(0[bB][01_]+|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[0-7_]*|[1-9][0-9_]*)$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_SPECIAL_FLOAT = re.compile(r"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the line (from 1) where it stands. `value` is a scalar, a list of nodes, or a dict of `Entry`."""

    value: Scalar | list[Node] | dict[str, Entry]
    line: int

    @property
    def says_nothing(self) -> bool:
        """Null, ``{}`` and ``[]``: what generators write for a field that nobody set."""
        return self.value is None or self.value in ({}, [])

    def plain(self) -> Plain:
        """The value without its lines, as JSON would have it."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def word(self) -> str:
        """What kind of value it is, in the words of an error message."""
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return scalar_word(self.value)

    def kind(self) -> str:
        """What kind of value it is, without the value: for those that no error may show."""
        if isinstance(self.value, dict | list) or self.value is None:
            return self.word()
        if isinstance(self.value, bool):
            return "a boolean"
        return "a string" if isinstance(self.value, str) else "a number"


@dataclass(frozen=True, slots=True)
class Entry:
    """A mapping's value, with the line of its key."""

    node: Node
    line: int


def scalar_word(value: Scalar) -> str:
    """``the number 8080``, ``the boolean true``, ``the string "a"``, ``nothing``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return f'the string "{value}"'


def read(text: str, source: str) -> Iterator[Node]:
    """Each non-empty document of `text`; raises ManifestError ``invalid-yaml`` or ``duplicate-key`` with its line."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise ManifestError("invalid-yaml", f"{source}:{line}", message) from error
    try:
        while loader.check_node():
            composed = loader.get_node()
            if composed is None:
                continue
            node = _Reader(source).read(composed, "")
            if node.value is not None:
                yield node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message, hint = _explained(error, text)
        # The parser's own error quotes the line, which may hold a Secret's value.
        raise ManifestError("invalid-yaml", f"{source}:{mark.line + 1 if mark else 1}", message, hint=hint) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ManifestError("invalid-yaml", source, str(error) or "nested too deeply") from error
    finally:
        loader.dispose()


def node_of(value: Plain) -> Node:
    """The inverse of `Node.plain`, for a value that has no text: all of it stands on line 1."""
    if isinstance(value, dict):
        return Node({key: Entry(node_of(item), 1) for key, item in value.items()}, 1)
    if isinstance(value, list):
        return Node([node_of(item) for item in value], 1)
    return Node(value, 1)


def write(documents: Iterable[Mapping[str, Plain]]) -> str:
    """YAML that `read` and Kubernetes both read back as the same values."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, explicit_start=True, width=120)


class _Loader(yaml.SafeLoader):
    """Leaves it to us what a scalar without quotes and tag is."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


class _Dumper(yaml.SafeDumper):
    """Quotes what go-yaml would take for something else than a string."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if isinstance(_resolve(text), str) else '"'
    return dumper.represent_scalar(_TEXT, text, style=style)


_Dumper.add_representer(str, _represent_text)


class _Reader:
    """Turns one composed document into nodes, counting them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.count = 0

    def read(self, node: yaml.Node, path: str) -> Node:
        self.count += 1
        line = node.start_mark.line + 1
        if self.count > MAX_NODES:
            raise ManifestError(
                "invalid-yaml", f"{self.source}:{line}", f"more than {MAX_NODES} values, aliases included"
            )
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node, line), line)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.read(item, f"{path}[{index}]") for index, item in enumerate(node.value)], line)
        return Node(self._mapping(node, path), line)

    def _mapping(self, node: yaml.Node, path: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            where = f"{self.source}:{line}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise ManifestError(
                    "wrong-type", where, f"{path or 'document'}: a key is a list or mapping, expected a string"
                )
            if key_node.tag == _PLAIN and key_node.value == "<<":
                raise ManifestError(
                    "unsupported-field",
                    where,
                    f"{path}.<<: merge keys are not supported".lstrip("."),
                    hint="write the fields out",
                )
            key = str(key_node.value)
            here = f"{path}.{key}" if path else key
            if key in entries:
                raise ManifestError(
                    "duplicate-key",
                    where,
                    f"{here} was already set on line {entries[key].line}",
                    hint=f"keep one `{key}`",
                )
            entries[key] = Entry(self.read(value_node, here), line)
        return entries

    def _scalar(self, node: yaml.ScalarNode, line: int) -> Scalar:
        text = str(node.value)
        if node.tag == _PLAIN:
            return _resolve(text)
        if node.tag == _TEXT:
            return text
        # Its name is not shown: a password that begins with ! and has no quotes is read as a tag.
        raise ManifestError(
            "invalid-yaml",
            f"{self.source}:{line}",
            "tags are not supported",
            hint="quote a value that begins with !, remove a tag",
        )


def _explained(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """What is wrong and what to do; the mistakes made most are said in words of the file, not of the parser."""
    problem, mark, context = error.problem or str(error), error.problem_mark, error.context_mark
    if mark is not None and context is not None and problem.startswith("expected <block end>"):
        line = next(iter(text.splitlines()[mark.line : mark.line + 1]), "")
        if not line[: mark.column].strip():
            began = f"the block that began on line {context.line + 1}"
            if mark.column == context.column:
                return f"a field and a list item side by side in {began}", "indent the one that belongs below the other"
            return (
                f"indented by {mark.column}, which fits no line above; {began} is indented by {context.column}",
                "give lines that belong together the same indentation",
            )
    if problem.startswith("mapping values are not allowed"):
        return (
            "a `key: value` cannot stand here",
            "check the indentation of this line and the colon of the one above; quote a value that holds `: `",
        )
    if problem.startswith("found character '\\t'"):
        return "a tab, where YAML takes spaces alone", "indent with spaces"
    began = f", {error.context} that began on line {context.line + 1}" if context else ""
    return f"{_nameless(problem)}{began}", "check the indentation, the quotes and the brackets there"


def _nameless(problem: str) -> str:
    """A parser's complaint without the names it quotes: an unquoted password that begins with * is read as an alias."""
    return re.sub(r"(alias|anchor|tag handle) ['\"].*['\"]", r"\1", problem, flags=re.DOTALL)


def _resolve(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return _integer(text)
    if _FLOAT.match(text):
        return float(text)
    if _SPECIAL_FLOAT.match(text):
        return float(text.replace(".", ""))
    return text


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if digits.startswith("0") and digits.isdigit() and len(digits) > 1:
        return sign * int(digits, 8)
    return sign * int(digits, 0)

"""Holds a document against its kind's shape. The first thing wrong is raised, with its path and line."""

from __future__ import annotations

import difflib
import re
from collections import deque
from collections.abc import Iterator

from runtime.errors import ManifestError
from runtime.manifest.elsewhere import DEFAULT_HINT, DEVICE_HINT, HINTS
from runtime.manifest.quantity import quantity
from runtime.manifest.schema import Amount, Flag, Many, Object, Shape, Text, TextMap, Whole, WholeOrText, inner
from runtime.manifest.tree import Entry, Node

_INDEX = re.compile(r"\[\d+\]")


def check(node: Node, shape: Object, source: str) -> None:
    """Raise ManifestError for the first field of `node` that `shape` does not allow."""
    _Check(source, shape).object(node, shape, "")


class _Check:
    def __init__(self, source: str, root: Object) -> None:
        self.source = source
        self.root = root

    def fail(self, code: str, line: int, message: str, hint: str | None = None) -> ManifestError:
        return ManifestError(code, f"{self.source}:{line}", message, hint=hint)

    def value(self, node: Node, shape: Shape, path: str) -> None:
        match shape:
            case Object():
                self.object(node, shape, path)
            case Many():
                self.many(node, shape, path)
            case TextMap():
                self.text_map(node, shape, path)
            case _:
                self.scalar(node, shape, path)

    def object(self, node: Node, shape: Object, path: str) -> None:
        entries = self.entries(node, path)
        for name, entry in entries.items():
            here = _join(path, name)
            if name in shape.fields:
                if not _unset(entry.node, shape.fields[name]):
                    self.value(entry.node, shape.fields[name], here)
            elif name in shape.known:
                if not entry.node.says_nothing:
                    raise self.unsupported(here, entry.line, shape.hints.get(name))
            else:
                raise self.stranger(name, entry, shape, path)
        for name in shape.required:
            if name not in entries or entries[name].node.value is None:
                raise self.fail("missing-field", node.line, f"{_join(path, name)} is missing", hint=f"add `{name}`")

    def many(self, node: Node, shape: Many, path: str) -> None:
        if not isinstance(node.value, list):
            raise self.wrong_type(node, path, "a list", hint="begin each item with `- `")
        if len(node.value) < shape.least:
            raise self.fail("invalid-value", node.line, f"{path} is empty, expected at least {shape.least} item")
        if shape.most is not None and len(node.value) > shape.most:
            raise self.fail(
                "unsupported-field",
                node.value[shape.most].line,
                f"{path} has {len(node.value)} items, at most {shape.most} is supported",
            )
        for index, item in enumerate(node.value):
            self.value(item, shape.item, f"{path}[{index}]")
        if shape.unique:
            self.unique(node.value, shape.unique, path)

    def unique(self, items: list[Node], name: str, path: str) -> None:
        seen: dict[object, int] = {}
        for item in items:
            entry = item.value.get(name) if isinstance(item.value, dict) else None
            if entry is None:
                continue
            value = entry.node.value
            if not isinstance(value, str):
                continue
            if value in seen:
                raise self.fail(
                    "invalid-value", entry.line, f'{path}: the {name} "{value}" is already used on line {seen[value]}'
                )
            seen[value] = entry.line

    def text_map(self, node: Node, shape: TextMap, path: str) -> None:
        if shape.values.hidden and not isinstance(node.value, dict):
            raise self.fail("wrong-type", node.line, f"{path} is {node.kind()}, expected a mapping")
        for key, entry in self.entries(node, path).items():
            if shape.keys.pattern and not shape.keys.pattern.fullmatch(key):
                raise self.fail("invalid-value", entry.line, f'{path}: the key "{key}" is not {shape.keys.says}')
            self.scalar(entry.node, shape.values, f"{path}.{key}")

    def entries(self, node: Node, path: str) -> dict[str, Entry]:
        if not isinstance(node.value, dict):
            raise self.wrong_type(node, path or "document", "a mapping")
        return node.value

    def scalar(self, node: Node, shape: Text | Whole | Flag | Amount | WholeOrText, path: str) -> None:
        match shape:
            case Text():
                self.text(node, shape, path)
            case Whole():
                self.whole(node, shape, path)
            case Flag():
                if not isinstance(node.value, bool):
                    raise self.wrong_type(node, path, "true or false")
            case Amount():
                self.amount(node, path)
            case WholeOrText():
                if isinstance(node.value, str):
                    self.text(node, shape.text, path)
                else:
                    self.whole(node, shape.whole, path)

    def text(self, node: Node, shape: Text, path: str) -> None:
        value = node.value
        if shape.hidden:
            if not isinstance(value, str):
                hint = "quote it" if isinstance(value, bool | int | float) else None
                raise self.fail("wrong-type", node.line, f"{path} is {node.kind()}, expected a string", hint)
            return
        if not isinstance(value, str):
            written = "" if isinstance(value, dict | list) or value is None else str(value).lower()
            raise self.wrong_type(node, path, "a string", hint=f'quote it: "{written}"' if written else None)
        if value in shape.unsupported:
            supported = f"supported is {' or '.join(shape.choices)}" if shape.choices else "which is not supported"
            raise self.fail("unsupported-value", node.line, f'{path} is "{value}", {supported}', hint=shape.hint)
        if shape.choices and value not in shape.choices:
            raise self.fail(
                "invalid-value",
                node.line,
                f'{path} is "{value}", expected {" or ".join(shape.choices)}',
                hint=_did_you_mean(value, shape.choices),
            )
        if shape.pattern and not shape.pattern.fullmatch(value):
            raise self.fail("invalid-value", node.line, f'{path} is "{value}", expected {shape.says}')

    def whole(self, node: Node, shape: Whole, path: str) -> None:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int):
            hint = "remove the quotes" if isinstance(value, str) and value.isdigit() else None
            raise self.wrong_type(node, path, "an integer", hint=hint)
        if not shape.low <= value <= shape.high:
            raise self.fail("invalid-value", node.line, f"{path} is {value}, expected {shape.low} to {shape.high}")

    def amount(self, node: Node, path: str) -> None:
        value = node.value
        if isinstance(value, bool | list | dict) or value is None:
            raise self.wrong_type(node, path, "a quantity such as 500m or 128Mi")
        found = quantity(value)
        if found is None:
            raise self.fail("invalid-value", node.line, f"{path} is {value}, expected a quantity such as 500m or 128Mi")
        if found < 0:
            raise self.fail("invalid-value", node.line, f"{path} is {value}, expected 0 or more")

    def wrong_type(self, node: Node, path: str, expected: str, hint: str | None = None) -> ManifestError:
        return self.fail("wrong-type", node.line, f"{path} is {node.word()}, expected {expected}", hint)

    def unsupported(self, here: str, line: int, hint: str | None = None) -> ManifestError:
        return self.fail(
            "unsupported-field",
            line,
            f"{here} is a field of Kubernetes that imageforge does not support",
            hint=hint or HINTS.get(here.rpartition(".")[2], DEFAULT_HINT),
        )

    def stranger(self, name: str, entry: Entry, shape: Object, path: str) -> ManifestError:
        """A name that does not belong here: misplaced when it belongs elsewhere, unknown otherwise."""
        here = _join(path, name)
        if "/" in name and path.endswith((".requests", ".limits")):
            return self.unsupported(here, entry.line, DEVICE_HINT)
        home = _home(self.root, path, name)
        if home is not None:
            return self.fail(
                "misplaced-field",
                entry.line,
                f"{here}: it belongs at {_join(home, name)}",
                hint=_move_hint(name, path, home),
            )
        if any(name in owner.known for _, owner in _objects(self.root)):
            return self.unsupported(here, entry.line)
        names = sorted(shape.fields)
        hint = _did_you_mean(name, names) or (f"known here: {', '.join(names)}" if names else None)
        return self.fail("unknown-field", entry.line, f"{here} is not a field of Kubernetes", hint=hint)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _unset(node: Node, shape: Shape) -> bool:
    """Whether the value stands for an absent one."""
    return node.value is None or (node.says_nothing and isinstance(shape, TextMap))


def _did_you_mean(word: str, names: tuple[str, ...] | list[str]) -> str | None:
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
    folded = [name for name in names if name.lower() == word.lower()]
    best = next(iter(folded or close), None)
    return f"did you mean `{best}`?" if best else None


def _objects(root: Object) -> Iterator[tuple[str, Object]]:
    """Every object of the schema with its path, the shallow ones first."""
    waiting: deque[tuple[str, Object]] = deque([("", root)])
    while waiting:
        path, shape = waiting.popleft()
        yield path, shape
        for name, field in shape.fields.items():
            child = inner(field)
            if child is not None:
                suffix = "[]" if isinstance(field, Many) else ""
                waiting.append((_join(path, name) + suffix, child))


def _home(root: Object, path: str, name: str) -> str | None:
    """The path of the object that has the field `name`: the nearest above `path`, else below it, else anywhere."""
    spot = _INDEX.sub("[]", path)
    owners = [owner for owner, shape in _objects(root) if name in shape.fields]
    above = [owner for owner in owners if _is_above(owner, spot)]
    if above:
        return max(above, key=len)
    below = [owner for owner in owners if _is_above(spot, owner)]
    return next(iter(below or owners), None)


def _is_above(upper: str, lower: str) -> bool:
    return upper == "" or lower.startswith((upper + ".", upper + "["))


def _move_hint(name: str, path: str, home: str) -> str:
    spot = _INDEX.sub("[]", path)
    if _is_above(home, spot) and home != spot:
        sibling = spot.removeprefix(home).lstrip(".").split(".")[0].removesuffix("[]")
        return f"dedent `{name}` to the level of `{sibling}`"
    if _is_above(spot, home):
        return f"indent `{name}` under `{home.removeprefix(spot).lstrip('.')}`"
    return f"move `{name}` under `{home}`"

"""A place in a checked tree, read by those who turn it into values."""

from __future__ import annotations

from typing import Any

from runtime.errors import ManifestError
from runtime.manifest.tree import Node


class Cursor:
    """A node with the way to it; errors raised through it carry path and line."""

    def __init__(self, node: Node, source: str, path: str = "") -> None:
        self.node = node
        self.source = source
        self.path = path

    def get(self, name: str) -> Cursor:
        """The field, or a cursor on nothing."""
        entry = self.node.value.get(name) if isinstance(self.node.value, dict) else None
        node = entry.node if entry else Node(None, self.node.line)
        return Cursor(node, self.source, f"{self.path}.{name}" if self.path else name)

    def items(self) -> list[Cursor]:
        """The list's items; none for an absent list."""
        nodes = self.node.value if isinstance(self.node.value, list) else []
        return [Cursor(node, self.source, f"{self.path}[{index}]") for index, node in enumerate(nodes)]

    def plain(self, default: Any = None) -> Any:
        """The plain value, whose type the schema has checked; `default` for an absent one."""
        return default if self.node.value is None else self.node.plain()

    def fail(self, code: str, message: str, hint: str | None = None) -> ManifestError:
        """An error at this place."""
        return ManifestError(code, f"{self.source}:{self.node.line}", f"{self.path}{message}", hint=hint)

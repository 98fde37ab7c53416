"""Namespaces: a kind without a namespace, and how an object is named in a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import NAME, Object, Text, metadata, words
from runtime.manifest.tree import Entry, Node

_METADATA = metadata(NAME)
_FINALIZERS = words("finalizers")

NAMESPACE = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": Object(
            fields={name: shape for name, shape in _METADATA.fields.items() if name != "namespace"},
            required=_METADATA.required,
            known=_METADATA.known | {"namespace"},
        ),
        "spec": Object(fields={}, known=_FINALIZERS),
    },
    required=("metadata",),
    known=words("status"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """v1 Namespace. One that objects name is there in any case; deleting it deletes them. `namespace` is empty."""

    name: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def namespace(root: Cursor) -> Namespace:
    """A Namespace from a tree that the schema has passed."""
    meta = root.get("metadata")
    return Namespace(name=meta.get("name").plain(), labels=meta.get("labels").plain({}))


def subject(kind: str, namespace: str, name: str) -> str:
    """``Service shop/web``, ``Namespace shop``."""
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def placed(node: Node, namespace: str, source: str) -> Node:
    """The same object in a namespace, where it names none. Raises ManifestError (`namespace-mismatch`) where it names
    another."""
    root = Cursor(node, source)
    meta = root.get("metadata")
    if not isinstance(node.value, dict) or not isinstance(meta.node.value, dict):
        return node
    if root.get("kind").node.value == "Namespace":
        return node
    said = meta.get("namespace")
    if said.node.value is None:
        line = meta.node.line
        inner = Node({**meta.node.value, "namespace": Entry(Node(namespace, line), line)}, line)
        return Node({**node.value, "metadata": Entry(inner, node.value["metadata"].line)}, node.line)
    if said.node.value != namespace:
        raise said.fail(
            "namespace-mismatch",
            f" is {said.node.word()}, and the command names {namespace}",
            hint="take one of them out",
        )
    return node

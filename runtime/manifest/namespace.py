"""Namespaces: a kind without a namespace, and how an object is named in a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import NAME, Object, Text, metadata, words

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

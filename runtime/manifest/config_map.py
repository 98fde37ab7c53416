"""ConfigMaps: text and bytes by key, for variables and files."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import CONFIG_KEY_NAME, CONFIG_NAME, Flag, Object, Text, TextMap, metadata

LARGEST = 1024 * 1024
"""Bytes of all values and keys, as a cluster has it."""

CONFIG_MAP = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(CONFIG_NAME),
        "data": TextMap(keys=CONFIG_KEY_NAME),
        "binaryData": TextMap(keys=CONFIG_KEY_NAME),
        "immutable": Flag(),
    },
    required=("metadata",),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigMap:
    """v1 ConfigMap. `data` are texts, of which variables are made; files are made of `binary` too."""

    namespace: str
    name: str
    data: Mapping[str, str] = field(default_factory=dict)
    binary: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    immutable: bool = False

    @property
    def files(self) -> dict[str, bytes]:
        """Every key with its bytes."""
        return {**{key: value.encode() for key, value in self.data.items()}, **self.binary}


def config_map(root: Cursor) -> ConfigMap:
    """A ConfigMap from a tree that the schema has passed."""
    meta = root.get("metadata")
    data = root.get("data").plain({})
    binary = {key: _decoded(root.get("binaryData").get(key)) for key in root.get("binaryData").plain({})}
    for key in sorted(binary.keys() & data.keys()):
        raise root.get("binaryData").get(key).fail("invalid-value", ": the key is in `data` too", hint="keep one")
    size = sum(len(key) + len(value.encode()) for key, value in data.items())
    size += sum(len(key) + len(value) for key, value in binary.items())
    if size > LARGEST:
        raise root.fail("invalid-value", f"the values have {size} bytes, at most {LARGEST} are allowed")
    return ConfigMap(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        data=data,
        binary=binary,
        immutable=root.get("immutable").plain(False),
    )


def _decoded(cursor: Cursor) -> bytes:
    try:
        return base64.b64decode(re.sub(r"[\r\n]", "", cursor.plain()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise cursor.fail("invalid-value", " is not base64", hint="put plain text under `data`") from error

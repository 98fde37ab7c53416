"""A Secret as it is stored, sealed, and as it is shown, masked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from runtime.manifest.model import MASKED_ANNOTATION, Secret
from runtime.seal import Seal

Lookup = Callable[[str], Mapping[str, bytes] | None]
"""The values of a Secret by its name; None where there is no such Secret. Raises KeyFailure."""

STARS = "***"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def sealed(data: Mapping[str, Any], secret: Secret, seal: Seal) -> dict[str, Any]:
    """The manifest's data for the store: the values are sealed, and what is not secret, their sizes, can be read."""
    return {**unsealed(data), "sizes": sizes(secret), "sealed": seal.close(_packed(secret.data))}


def unsealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest's data, or that for the store, says beside the values."""
    said = {key: value for key, value in data.items() if key not in ("data", "stringData", "sizes", "sealed")}
    meta = said.get("metadata") or {}
    if LAST_APPLIED in (meta.get("annotations") or {}):
        # kubectl's copy of the manifest, values and all.
        kept = {key: value for key, value in meta["annotations"].items() if key != LAST_APPLIED}
        said["metadata"] = {**meta, "annotations": kept}
    return said


def opened(data: Mapping[str, Any], seal: Seal) -> dict[str, bytes]:
    """The values, by key, of what `sealed` gave. Raises KeyFailure."""
    values: dict[str, str] = json.loads(seal.open(data["sealed"]))
    return {key: base64.b64decode(value) for key, value in values.items()}


def masked(data: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with stars and sizes for the values of what `sealed` gave. It says that it is masked, so that nobody
    applies the stars."""
    shown = unsealed(data)
    meta = shown["metadata"]
    shown["metadata"] = {**meta, "annotations": {**(meta.get("annotations") or {}), MASKED_ANNOTATION: "true"}}
    return {**shown, "stringData": {key: f"{STARS} {size} bytes" for key, size in sorted(data["sizes"].items())}}


def sizes(secret: Secret) -> dict[str, int]:
    """The bytes of each value."""
    return {key: len(value) for key, value in secret.data.items()}


def _packed(values: Mapping[str, bytes]) -> bytes:
    return json.dumps({key: base64.b64encode(value).decode() for key, value in values.items()}).encode()

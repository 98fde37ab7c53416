"""Names that are made of names: of pods, and of what the engine and the file system keep for them; pure."""

from __future__ import annotations

import hashlib

from runtime.manifest.template import random_suffix

LONGEST_BASE = 58
"""Characters before the random ones in the name of a pod that a controller makes
(k8s.io/apiserver/pkg/storage/names, MaxGeneratedNameLength)."""
LONGEST_KEPT = 100
"""Characters of an object's name that stand in the name of a file or a volume: with what is put around it that may have
255 bytes, and an object's name 253 characters."""
_DIGITS = 12


def generated(base: str) -> str:
    """The name of another pod of whatever `base` is, as a cluster's controllers make it."""
    return f"{base[:LONGEST_BASE]}{random_suffix()}"


def kept(name: str) -> str:
    """The name where it is short enough, else its beginning and a digest, by a character that no name has."""
    if len(name) <= LONGEST_KEPT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    return f"{name[: LONGEST_KEPT - _DIGITS - 1]}_{digest}"

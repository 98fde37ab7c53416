"""The name of a pod template: what a revision is known by."""

from __future__ import annotations

import json
import secrets
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from runtime.manifest.model import PodTemplate

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: PodTemplate) -> str:
    """Up to ten letters and digits, the same for equal templates however they were written.

    32-bit FNV-1a over the canonical JSON of the parsed template, its digits in Kubernetes' alphabet without vowels.
    Fields at their default are left out, so that a field added later changes no template that does not use it.
    """
    value = _FNV_OFFSET
    for byte in json.dumps(_essence(template), sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return safe_encode(str(value))


def safe_encode(text: str) -> str:
    """Each byte as one character of the alphabet that spells no words."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in text.encode())


def random_suffix() -> str:
    """Five characters of that alphabet, as the names of pods end."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(5))


def _essence(value: Any) -> Any:
    """What was said, in JSON's types."""
    if is_dataclass(value) and not isinstance(value, type):
        said = ((field.name, getattr(value, field.name), field) for field in fields(value))
        return {name: _essence(item) for name, item, field in said if item != _default(field)}
    if isinstance(value, tuple):
        return [_essence(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def _default(field: Field[Any]) -> object:
    return field.default_factory() if field.default_factory is not MISSING else field.default

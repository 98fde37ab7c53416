"""The name of a pod template: what a revision is known by."""

from __future__ import annotations

import json
from dataclasses import asdict

from runtime.manifest.model import PodTemplate

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: PodTemplate) -> str:
    """Up to ten letters and digits, the same for equal templates however they were written.

    32-bit FNV-1a over the canonical JSON of the parsed template, its digits in Kubernetes' alphabet without vowels.
    """
    value = _FNV_OFFSET
    for byte in json.dumps(asdict(template), sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return safe_encode(str(value))


def safe_encode(text: str) -> str:
    """Each byte as one character of the alphabet that spells no words."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in text.encode())

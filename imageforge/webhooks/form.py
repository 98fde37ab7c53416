"""Deliveries sent as application/x-www-form-urlencoded: the JSON text is the field `payload`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_from_bytes, unquote_to_bytes

from imageforge.webhooks.headers import lowered

CONTENT_TYPE = "application/x-www-form-urlencoded"
_FIELD = b"payload"


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether the content type says form; its parameters (charset) do not matter."""
    return lowered(headers).get("content-type", "").partition(";")[0].strip().lower() == CONTENT_TYPE


def decode(body: bytes) -> bytes | None:
    """The bytes of the first `payload` field, None without one.

    By hand, since `parse_qs` gives text: a signature is over bytes, and those must come back as they were.
    """
    for field in body.split(b"&"):
        name, _, value = field.partition(b"=")
        if name == _FIELD:
            return unquote_to_bytes(value.replace(b"+", b" "))
    return None


def encode(document: bytes) -> bytes:
    """The form that carries the document."""
    return _FIELD + b"=" + quote_from_bytes(document, safe=" ").replace(" ", "+").encode()

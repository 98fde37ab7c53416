"""Proof that a delivery comes from someone who knows the app's secret."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook

from imageforge.webhooks import form
from imageforge.webhooks.errors import MalformedDelivery, SignatureRefused
from imageforge.webhooks.headers import lowered
from imageforge.webhooks.provider import Provider

WINDOW = 300
"""Seconds that a signed timestamp may be off, either way: what Standard Webhooks' libraries use."""

SIGNING_PREFIX = "whsec_"
_SIGNATURE_HEADER = {
    Provider.FORGEJO: "x-forgejo-signature",
    Provider.GITEA: "x-gitea-signature",
    Provider.GOGS: "x-gogs-signature",
}
_UNIX_TIME = re.compile(r"[0-9]{1,11}", re.ASCII)


def verify(provider: Provider, headers: Mapping[str, str], body: bytes, secret: str, *, now: float) -> bytes:
    """The JSON document of a delivery whose signature is right.

    `now` is Unix time in seconds; only GitLab's signing scheme has a timestamp. Raises SignatureRefused
    (`signature-refused`) with one text for every reason, and MalformedDelivery (`delivery-malformed`) for a form that
    is signed but has no `payload`.
    """
    if not secret:
        raise SignatureRefused
    names = lowered(headers)
    match provider:
        case Provider.GITHUB:
            return _github(names, body, secret)
        case Provider.GITLAB:
            return _gitlab(names, body, secret, now)
        case _:
            return _bare_hex(names, _SIGNATURE_HEADER[provider], body, secret)


def hex_digest(secret: str, text: bytes, algorithm: str = "sha256") -> str:
    """The HMAC of a text, in hex."""
    return hmac.new(_bytes(secret), text, algorithm).hexdigest()


def standard_signature(secret: str, *, message_id: str, timestamp: int, text: bytes) -> str | None:
    """`v1,<base64>` as Standard Webhooks has it; None if the secret is no `whsec_…`, or the text no UTF-8."""
    try:
        # The library reads base64 leniently, down to an empty key, so look first.
        key = base64.b64decode(secret.removeprefix(SIGNING_PREFIX), validate=True)
        # Its `verify` has a clock of its own; its `sign` has none.
        moment = datetime.fromtimestamp(timestamp, UTC)
        if not key or not secret.startswith(SIGNING_PREFIX):
            return None
        return Webhook(key).sign(message_id, moment, text.decode())
    except (binascii.Error, ValueError, OverflowError, OSError):
        return None


def _github(names: Mapping[str, str], body: bytes, secret: str) -> bytes:
    # X-Hub-Signature, with SHA-1, is not looked at: who can send it can send the other.
    if not _same(names.get("x-hub-signature-256", ""), f"sha256={hex_digest(secret, body)}"):
        raise SignatureRefused
    if not form.is_form(names):
        return body
    document = form.decode(body)
    if document is None:
        raise MalformedDelivery("webhook form", "has no field `payload`")
    return document


def _bare_hex(names: Mapping[str, str], header: str, body: bytes, secret: str) -> bytes:
    # Unlike GitHub, these sign the JSON text before it is put into the form.
    document = form.decode(body) if form.is_form(names) else body
    if document is None or not _same(names.get(header, ""), hex_digest(secret, document)):
        raise SignatureRefused
    return document


def _gitlab(names: Mapping[str, str], body: bytes, secret: str, now: float) -> bytes:
    # webhook-id and webhook-timestamp come with every delivery, so they say nothing about the scheme.
    if "webhook-signature" in names:
        proved = _standard(names, body, secret, now)
    else:
        proved = _same(names.get("x-gitlab-token", ""), secret)
    if not proved:
        raise SignatureRefused
    return body


def _standard(names: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    message_id, timestamp = names.get("webhook-id", ""), names.get("webhook-timestamp", "")
    if not message_id or not _UNIX_TIME.fullmatch(timestamp) or not abs(now - int(timestamp)) <= WINDOW:
        return False
    expected = standard_signature(secret, message_id=message_id, timestamp=int(timestamp), text=body)
    # Several signatures stand side by side while a secret is being changed.
    return expected is not None and any(_same(given, expected) for given in names["webhook-signature"].split())


def _same(given: str, expected: str) -> bool:
    # Bytes, since compare_digest takes no text beyond ASCII; and nothing equals an empty proof.
    return bool(given) and hmac.compare_digest(_bytes(given), _bytes(expected))


def _bytes(text: str) -> bytes:
    # A secret read from an environment may hold lone surrogates; so may a header.
    return text.encode("utf-8", "surrogatepass")

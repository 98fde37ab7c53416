"""What the tests of webhooks share: a push, and ways to change a delivery of it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from imageforge.webhooks import Delivery, Provider, SampleRequest, parse, sample

SECRET = "correct horse battery staple"
SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1_790_000_000.0
BEFORE, AFTER, ZEROS = "a" * 40, "b" * 40, "0" * 40

FORM_SENDERS = tuple(provider for provider in Provider if provider is not Provider.GITLAB)
GITEA_FAMILY = (Provider.FORGEJO, Provider.GITEA, Provider.GOGS)
SIGNATURE_HEADER = {
    Provider.FORGEJO: "X-Forgejo-Signature",
    Provider.GITEA: "X-Gitea-Signature",
    Provider.GOGS: "X-Gogs-Signature",
    Provider.GITLAB: "X-Gitlab-Token",
    Provider.GITHUB: "X-Hub-Signature-256",
}
EVENT_HEADER = {
    Provider.FORGEJO: "X-Forgejo-Event",
    Provider.GITEA: "X-Gitea-Event",
    Provider.GOGS: "X-Gogs-Event",
    Provider.GITLAB: "X-Gitlab-Event",
    Provider.GITHUB: "X-GitHub-Event",
}


def push(provider: Provider, **changes: Any) -> SampleRequest:
    """A delivery of a push to main that touched api/app.py."""
    given: dict[str, Any] = {
        "secret": SECRET,
        "repository": "team/shop",
        "clone_url": "https://git.example.org/team/shop.git",
        "branch": "main",
        "before": BEFORE,
        "after": AFTER,
        "message": "Sell socks\n\nIn pairs.",
        "paths": ("api/app.py",),
        "delivery_id": "11111111-2222-3333-4444-555555555555",
        "now": NOW,
    }
    return sample(provider, **given | changes)


def document_of(provider: Provider, **changes: Any) -> dict[str, Any]:
    """The document of such a delivery."""
    found: dict[str, Any] = json.loads(push(provider, **changes).body)
    return found


def read(provider: Provider, document: object, event: str = "push", **headers: str) -> Delivery:
    """Parse a document as that event's."""
    names = {EVENT_HEADER[provider]: event, **headers}
    return parse(provider, names, json.dumps(document).encode())


def hex_hmac(secret: str, text: bytes) -> str:
    """The oracle for signatures: HMAC-SHA256 from the standard library."""
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def without(headers: Mapping[str, str], name: str) -> dict[str, str]:
    """The headers less one."""
    return {key: value for key, value in headers.items() if key.lower() != name.lower()}

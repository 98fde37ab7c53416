"""The secret that an app's webhooks are signed with."""

from __future__ import annotations

import base64
import secrets

from imageforge.store import Database, Purpose, SealedSecrets
from imageforge.vault import Vault

NAME = "webhook"


def webhook_secret(app: str, database: Database, vault: Vault, *, make: bool = False) -> str | None:
    """An app's secret; None where there is none yet, unless it is to be made. It has the form of Standard Webhooks
    (``whsec_`` and 32 random bytes), which GitLab's signing asks for and all others take as a text."""
    sealed = SealedSecrets(database)
    found = sealed.of(app, Purpose.WEBHOOK).get((Purpose.WEBHOOK, NAME))
    if found is not None:
        return vault.open(found)
    if not make:
        return None
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    sealed.put(app, NAME, Purpose.WEBHOOK, vault.seal(secret))
    return secret

"""Where the registry sends whoever comes to it without a token of its own."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Query

from imageforge.api.auth import Here, Who
from imageforge.api.schemas import RegistryToken
from imageforge.entry.registry_token import SECONDS, granted
from imageforge.errors import UsageError

router = APIRouter(prefix="/v1/registry", tags=["registry"])


@router.get("/token")
def registry_token(
    site: Here,
    who: Who,
    service: Annotated[str, Query(max_length=300)] = "",
    scope: Annotated[list[Annotated[str, Query(max_length=4096)]] | None, Query(max_length=50)] = None,
) -> RegistryToken:
    """A token for the registry: `docker login` asks here, with a token of ours as the password of any user.

    It allows what the bearer's token reaches of what `scope` asks for: pulling and pushing in the repository of an app.
    """
    if site.signer is None or service not in ("", site.settings.public_host):
        raise UsageError(
            "no-such-registry",
            service[:80] or "registry",
            "there is no registry of this name that others reach",
            hint="set public_address and public_host in settings.toml",
        )
    now = time.time()
    text = site.signer.sign(
        subject=who.token.id, audience=site.settings.public_host, access=granted(who.token, scope or ()), now=now
    )
    issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    return RegistryToken(token=text, access_token=text, expires_in=SECONDS, issued_at=issued)

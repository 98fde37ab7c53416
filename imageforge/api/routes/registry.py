"""The registry: what is in it, tidying it, and where it sends whoever comes to it without a token of its own."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Path, Query

from imageforge.api.auth import Here, Who
from imageforge.api.schemas import Name, RegistryToken, RepositoryView, TagView, TidiedView
from imageforge.entry.registry_token import SECONDS, granted
from imageforge.errors import UsageError
from imageforge.stack.tidy import tidy
from imageforge.store import Scope
from registry import RegistryClient

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


@router.get("/repositories")
def repositories(site: Here, who: Who) -> list[RepositoryView]:
    """The repositories that the token reaches, and how many tags each has. One is named after its app."""
    who.need(Scope.BUILD, who.token.app)
    with RegistryClient(site.settings.registry) as client:
        names = client.repositories() if who.token.app is None else (who.token.app,)
        counted = ((name, len(client.tags(name))) for name in names)
        return [RepositoryView(name=name, tags=count) for name, count in counted if count]


@router.get("/repositories/{name}/tags")
def tags(name: Annotated[Name, Path()], site: Here, who: Who) -> list[TagView]:
    """The tags of a repository, and the digests they stand for. A build's tag is `b` and its number."""
    who.need(Scope.BUILD, name)
    with RegistryClient(site.settings.registry) as client:
        found = client.tags(name)
        if not found:
            raise UsageError("no-such-repository", name, "nothing was pushed there", hint="imageforge deploy")
        return [TagView(tag=tag, digest=client.get_manifest(name, tag).digest) for tag in found]


@router.post("/gc")
def collect_garbage(site: Here, who: Who) -> TidiedView:
    """Remove the images that no release which is kept has, no build under way and none of the last hour; and their
    blobs. The registry takes no pushes meanwhile, and builds wait."""
    who.need(Scope.ADMIN)
    tidied = tidy(site.home, site.settings, site.database)
    site.audit.record(who.name, "registry-tidied", "registry", images=tidied.images, bytes=tidied.bytes)
    return TidiedView(images=tidied.images, bytes=tidied.bytes)

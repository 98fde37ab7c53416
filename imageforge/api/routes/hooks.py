"""Hooks: addresses that are told how an app's builds go."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from imageforge.api.auth import Here, Who
from imageforge.api.schemas import HookView, Name, NewHook, NoticeView
from imageforge.api.site import Site
from imageforge.errors import UsageError
from imageforge.notify.post import Reach, check_url
from imageforge.store import Hook, Hooks, Notices, Purpose, Scope, SealedSecrets
from imageforge.store.notices import target_of

router = APIRouter(prefix="/v1/apps/{app}/hooks", tags=["hooks"])
AppName = Annotated[Name, Path()]
HookId = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]
MOST = 20
"""Hooks of one app."""


@router.get("")
def list_hooks(app: AppName, site: Here, who: Who) -> list[HookView]:
    """An app's hooks, without their keys."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    return [HookView.of(hook) for hook in Hooks(site.database).of(app)]


@router.post("", status_code=201)
def create_hook(app: AppName, body: NewHook, request: Request, site: Here, who: Who) -> HookView:
    """Tell an https address how the app's builds go, by POSTs that are signed as Standard Webhooks has it.

    The key is in this answer, and nowhere afterwards.
    """
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    reach: Reach = request.app.state.courier.reach
    check_url(body.url, reach)

    hooks = Hooks(site.database)
    if len(hooks.of(app)) >= MOST:
        raise UsageError("too-many-hooks", app, f"it has {MOST} hooks", hint="remove one first")
    hook = hooks.add(app, body.url, sorted(set(body.events)))
    key = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    SealedSecrets(site.database).put(app, hook.id, Purpose.HOOK, site.vault.seal(key))
    site.audit.record(who.name, "hook-created", app, hook=hook.id)
    return HookView.of(hook, key)


@router.delete("/{hook}", status_code=204)
def remove_hook(app: AppName, hook: HookId, site: Here, who: Who) -> Response:
    """Tell it nothing any more, and forget what it was told."""
    who.need(Scope.DEPLOY, app)
    _find(app, hook, site)
    Hooks(site.database).remove(app, hook)
    SealedSecrets(site.database).remove(app, hook, Purpose.HOOK)
    site.audit.record(who.name, "hook-removed", app, hook=hook)
    return Response(status_code=204)


@router.get("/{hook}/notices")
def list_notices(app: AppName, hook: HookId, site: Here, who: Who) -> list[NoticeView]:
    """What it was told or is to be told, newest first: attempts, and what went wrong."""
    who.need(Scope.DEPLOY, app)
    _find(app, hook, site)
    return [NoticeView.of(notice) for notice in Notices(site.database).of(app, target_of(hook))]


def _find(app: str, hook: str, site: Site) -> Hook:
    site.intake.app(app)
    found = Hooks(site.database).find(app, hook)
    if found is None:
        raise UsageError("no-such-hook", hook, f"{app} has no hook of this id")
    return found

"""Tokens and the audit log: for administrators."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from imageforge.api.auth import Here, Who
from imageforge.api.schemas import NewToken, TokenView
from imageforge.errors import UsageError
from imageforge.store import Scope, Tokens

router = APIRouter(prefix="/v1", tags=["tokens"])


@router.get("/tokens")
def list_tokens(site: Here, who: Who) -> list[TokenView]:
    """Every token, without its secret."""
    who.need(Scope.ADMIN)
    return [TokenView.of(token) for token in Tokens(site.database).all()]


@router.post("/tokens", status_code=201)
def create_token(body: NewToken, site: Here, who: Who) -> TokenView:
    """Make a token. Its text is in this answer, and nowhere afterwards."""
    who.need(Scope.ADMIN)
    expires = time.time() + body.days * 86400 if body.days else None
    token, text = Tokens(site.database).create(body.name, body.scope, app=body.app, expires_at=expires)
    site.audit.record(who.name, "token-created", token.id, name=body.name, scope=body.scope.value, app=body.app)
    return TokenView.of(token, text)


@router.delete("/tokens/{token}", status_code=204)
def revoke_token(token: str, site: Here, who: Who) -> Response:
    """Revoke a token, from now on."""
    who.need(Scope.ADMIN)
    if not Tokens(site.database).revoke(token):
        raise UsageError("no-such-token", token[:40], "there is no token of this id that is not revoked")
    site.audit.record(who.name, "token-revoked", token)
    return Response(status_code=204)


@router.get("/audit")
def audit_log(
    site: Here,
    who: Who,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[dict[str, Any]]:
    """Who did what, newest first."""
    who.need(Scope.ADMIN)
    return [
        {"id": e.id, "at": e.at, "actor": e.actor, "action": e.action, "object": e.object, "detail": dict(e.detail)}
        for e in site.audit.latest(before=before, limit=limit)
    ]

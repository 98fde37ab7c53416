"""Who calls, and what they may do."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from imageforge.api.problems import TooOften, Unauthorized
from imageforge.api.site import Site, site_of
from imageforge.entry.key import neighbourhood
from imageforge.errors import ForgeError
from imageforge.store import Scope, Token, Tokens


class Forbidden(ForgeError):
    """The token does not reach so far."""

    kind = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who calls: a token."""

    token: Token

    @property
    def name(self) -> str:
        """As it stands in builds and in the audit log."""
        return f"{self.token.name} ({self.token.id})"

    def need(self, scope: Scope, app: str | None = None) -> None:
        """Raise Forbidden (`forbidden`) unless the token allows it for this app, None being all of them."""
        if not self.token.allows(scope, app):
            reach = f"`{self.token.scope.value}` for {self.token.app or 'every app'}"
            wanted = f"`{scope.value}` for {app or 'every app'}"
            raise Forbidden(
                "forbidden", f"token {self.token.id}", f"it allows {reach}, expected {wanted}", hint="use another token"
            )


BEARER = HTTPBearer(auto_error=False, description="A token; `imageforge token create` makes one.")
"""Tells the OpenAPI document, and by it the page at /docs, how to say who calls; it checks nothing."""


def caller(
    request: Request, site: Annotated[Site, Depends(site_of)], _: Annotated[object, Depends(BEARER)] = None
) -> Caller:
    """The bearer of a valid token. Raises Unauthorized (`unauthorized`), and TooOften for who guesses or hurries."""
    header = request.headers.get("authorization", "")
    token = Tokens(site.database).check(presented(header))
    if token is None:
        # Only guesses are slowed down: those of this machine all come from one address, the bearers of valid tokens
        # too, and git asks without one first.
        address = neighbourhood(request.client.host) if request.client else "?"
        seconds = site.failures.wait(address) if header else 0.0
        if seconds:
            raise TooOften(address, seconds)
        raise _refusal(presented(header), site)
    seconds = site.calls.wait(token.id)
    if seconds:
        raise TooOften(f"token {token.id}", seconds)
    return Caller(token=token)


ANOTHER = "`imageforge token create NAME`, where the service runs, makes one"


def _refusal(text: str, site: Site) -> Unauthorized:
    """Why this token, or none, is not enough."""
    if not text:
        return Unauthorized(
            "unauthorized",
            "the request",
            "it carries no token",
            hint=f"imageforge login URL, or send `Authorization: Bearer TOKEN`; {ANOTHER}",
        )
    known = Tokens(site.database).identified(text)
    if known is None:
        return Unauthorized("unauthorized", "the token", "there is none like it here", hint=ANOTHER)
    subject = f"token {known.id} ({known.name})"
    if known.revoked_at is not None:
        return Unauthorized("token-revoked", subject, "it was revoked", hint=ANOTHER)
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(known.expires_at))
    return Unauthorized("token-expired", subject, f"it expired on {until}", hint=ANOTHER)


def presented(header: str) -> str:
    """The token in an Authorization header: a bearer's, or the password that git sends."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


Who = Annotated[Caller, Depends(caller)]
Here = Annotated[Site, Depends(site_of)]

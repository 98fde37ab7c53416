"""How each request came: what the balancer says of it is believed, and over public plain HTTP nothing is served."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from imageforge.api.problems import answer
from imageforge.entry.key import Way, arrival
from imageforge.errors import ForgeError
from runtime import CHALLENGES, ENTRY_HEADER

OURS = frozenset({ENTRY_HEADER.lower().encode(), b"x-forwarded-for", b"x-forwarded-proto"})


class HttpsRequired(ForgeError):
    """A request over public plain HTTP. Whatever token it carries was read by others on its way."""

    kind = "refused"


class Entry:
    """Sets the client's address and scheme from what the balancer says, and takes the headers in which it speaks out.

    A request by the public plain listener is refused before anybody looks at its token; ACME's challenges, which an
    authority asks for there, are the one thing answered.
    """

    def __init__(self, app: ASGIApp, *, key: str, url: str) -> None:
        self._app = app
        self._key = key
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        came = arrival(
            headers.get(ENTRY_HEADER, ""), headers.get("x-forwarded-for", ""), client[0] if client else "?", self._key
        )
        if came.way is Way.PLAIN and not scope["path"].startswith(CHALLENGES):
            refused = HttpsRequired(
                "https-required",
                "the request",
                "it came over plain HTTP, where others can read it",
                hint=f"use {self._url}; a token that was sent this way is known to others: revoke it",
            )
            await answer(refused)(scope, receive, send)
            return
        changed: dict[str, object] = {"headers": [pair for pair in scope["headers"] if pair[0].lower() not in OURS]}
        if came.way is not Way.LOCAL:
            changed |= {"client": (came.address, 0), "scheme": "https" if came.way is Way.TLS else "http"}
        await self._app({**scope, **changed}, receive, send)

"""How large a body of JSON or of manifests may be."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imageforge.api.problems import answer
from imageforge.errors import UsageError

LARGEST_JSON = 1024 * 1024
LARGEST_MANIFESTS = 4 * 1024 * 1024
MANIFESTS = ("/v1/apply", "/v1/diff")
"""Routes that take manifests: a ConfigMap alone may have a megabyte."""
COUNT_THEMSELVES = ("/v1/builds", "/v1/webhooks/", "/git/")
"""Routes that read their body piece by piece, with limits of their own."""


class BodyLimit:
    """Ends a body that is too large while it arrives: FastAPI reads one whole before it asks who sent it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"].startswith(COUNT_THEMSELVES):
            await self._app(scope, receive, send)
            return
        said = Headers(scope=scope).get("content-length", "0")
        limit = LARGEST_MANIFESTS if scope["path"] in MANIFESTS else LARGEST_JSON
        if not said.isdecimal() or int(said[:20]) > limit:
            refused = UsageError("body-too-big", "the body", f"more than {limit} bytes", hint="send less")
            await answer(refused)(scope, receive, send)
            return
        size = 0

        async def count() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, "body too big")
            return message

        await self._app(scope, count, send)

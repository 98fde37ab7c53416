"""What every answer says to a browser."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The page at /docs has its files from here and asks only this server, and its style sheet holds images; everything else
# needs nothing from anywhere.
POLICY = "default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
}

_EVERY = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
_DOCS = tuple((name, DOCS_POLICY.encode() if name == b"content-security-policy" else value) for name, value in _EVERY)
"""As ASGI has them, made once."""


class SecurityHeaders:
    """Adds headers to every answer. Plain ASGI: what wraps a response in tasks of its own would hold up streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = [*message.get("headers", ())]
                names = {name.lower() for name, _ in said}
                ours = _DOCS if scope["path"] == "/docs" else _EVERY
                message = {**message, "headers": said + [pair for pair in ours if pair[0] not in names]}
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)

"""The application: routes over one instance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imageforge import __version__
from imageforge.api import problems
from imageforge.api.feed import Feeds
from imageforge.api.limiter import Limiter
from imageforge.api.routes import apps, builds, git, health, tokens, webhooks
from imageforge.api.site import Site
from imageforge.config import Home, Settings
from imageforge.errors import UsageError
from imageforge.queue.catch_up import CatchUp
from imageforge.queue.intake import Intake
from imageforge.queue.sweeper import Sweeper
from imageforge.queue.wake import Waker
from imageforge.store import Database
from imageforge.vault import Vault

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LARGEST_BODY = 1024 * 1024
STREAMS = ("/v1/builds", "/v1/webhooks/", "/git/")
# The page at /docs loads Swagger from its usual place; everything else needs nothing from anywhere.
POLICY = "default-src 'none'; frame-ancestors 'none'"
DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src https://cdn.jsdelivr.net; "
    "img-src data: https://fastapi.tiangolo.com; connect-src 'self'; frame-ancestors 'none'"
)


def create_app(home: Home, settings: Settings) -> FastAPI:
    """The API of a home. Its store is opened here, its threads run between start-up and shutdown."""
    home.prepare()
    database = Database.at(home.store)
    waker = Waker(home.redis_socket)
    site = Site(
        home=home,
        settings=settings,
        database=database,
        waker=waker,
        intake=Intake(home, settings, database, waker),
        vault=Vault(home.key_file),
        feeds=Feeds(database, waker),
        failures=Limiter(rate=1.0, burst=30),
        calls=Limiter(rate=100.0, burst=500),
    )
    sweeper = Sweeper(home, settings, database, waker)
    catch_up = CatchUp(home, settings, database, site.intake)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        site.feeds.start()
        sweeper.start()
        catch_up.start()
        try:
            yield
        finally:
            await site.feeds.close()
            catch_up.close()
            sweeper.close()
            waker.close()
            database.close()

    app = FastAPI(
        title="imageforge",
        version=__version__,
        description="A push becomes a running, load-balanced application on a machine you own.",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.site = site
    problems.install(app)
    for routes in (health, apps, builds, webhooks, tokens, git):
        app.include_router(routes.router)

    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    return app


class BodyLimit:
    """Refuses bodies that are too large before anybody reads them: a body is parsed before its sender's token is looked
    at. What takes archives, packs and deliveries counts by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"].startswith(STREAMS):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        seen = 0
        refused = UsageError("body-too-big", "the body", f"more than {LARGEST_BODY} bytes", hint="send less")

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > LARGEST_BODY:
                raise refused
            return message

        if not length.isdecimal() or int(length) > LARGEST_BODY:
            await problems.answer(refused)(scope, receive, send)
            return
        await self._app(scope, counted, send)


class SecurityHeaders:
    """Adds headers to every answer. Plain ASGI: what wraps a response in tasks of its own would hold up streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                policy = DOCS_POLICY if scope["path"] == "/docs" else POLICY
                for name, value in {**HEADERS, "Content-Security-Policy": policy}.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, add if scope["type"] == "http" else send)

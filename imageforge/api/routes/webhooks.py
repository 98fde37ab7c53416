"""Webhooks of forges: a push becomes a build."""

from __future__ import annotations

import base64
import secrets
import threading
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from imageforge.api.auth import Here, Who
from imageforge.api.body_limit import LARGEST_JSON
from imageforge.api.problems import TooOften
from imageforge.api.routes.builds import accepted_body
from imageforge.api.schemas import Name, Received, WebhookView
from imageforge.api.site import Site
from imageforge.errors import ForgeError, UsageError
from imageforge.pipeline.webhook_secret import webhook_secret
from imageforge.queue.intake import Origin
from imageforge.queue.spec import GitSource, Options
from imageforge.store import App, Apps, BuildQueue, DeliveryKey, Scope
from imageforge.webhooks import Delivery, Rules, SignatureRefused, decide, identify, parse, verify

router = APIRouter(prefix="/v1", tags=["webhooks"])
NOBODY = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
"""A secret that nobody knows, for the apps that are not there."""
LARGEST_BODY = 25 * 1024 * 1024
"""GitHub's own limit, the largest of them."""
LARGE = threading.BoundedSemaphore(8)
"""Deliveries of more than a megabyte that are read at once: it takes no token to send one, and each is held whole until
its signature was looked at. Others are small, and are always taken."""


@router.post(
    "/webhooks/{app}",
    status_code=202,
    response_model=Received,
    responses={200: {"description": "There is nothing to build, or it was delivered before.", "model": Received}},
)
async def receive(app: Annotated[str, Path(max_length=200)], request: Request, site: Here) -> JSONResponse:
    """A delivery of GitHub, GitLab, Gitea, Forgejo or Gogs, by its headers; proven by its signature, not by a token.

    202 with the build where one was accepted, 200 with the reason where there is nothing to build.
    """
    if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
        raise _too_big()
    body, large = bytearray(), False
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_BODY:
                raise _too_big()
            if len(body) > LARGEST_JSON and not large:
                large = LARGE.acquire(blocking=False)
                if not large:
                    raise TooOften("large deliveries", 10.0)
        # Of the forty threads that plain routes have, and not of asyncio's few: those that come while another is being
        # written share the next commit.
        return await run_in_threadpool(_take, app, dict(request.headers), bytes(body), site)
    finally:
        if large:
            LARGE.release()


@router.get("/apps/{app}/webhook", tags=["apps"])
def show(app: Annotated[Name, Path()], site: Here, who: Who) -> WebhookView:
    """The address and the secret to enter at the forge."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    secret = webhook_secret(app, site.database, site.vault, make=True)
    assert secret is not None
    return WebhookView(url=f"{site.settings.service_url}/v1/webhooks/{app}", secret=secret)


def _take(name: str, headers: dict[str, str], body: bytes, site: Site) -> JSONResponse:
    with site.database.one_moment():
        app, delivery = _proved(name, headers, body, site)
        key = DeliveryKey(provider=delivery.provider.value, delivery=delivery.id[:128])
        queue = BuildQueue(site.database)
        seen, build_id = queue.delivered(app.name, key)
    if seen:
        return JSONResponse({"reason": "delivered-before", "build": build_id}, 200)
    decision = decide(delivery, Rules(branch=app.settings.branch, watch=app.settings.watch))
    if not decision.build:
        queue.remember_delivery(app.name, key, decision.reason)
        return JSONResponse({"reason": decision.reason, "build": None}, 200)
    stored = site.intake.submit(
        app,
        _source(delivery, app.settings.git_url),
        Options(),
        Origin(
            way="webhook",
            actor=f"{delivery.provider.value}: {delivery.sender}",
            branch=delivery.branch or "",
            revision=delivery.after,
            message=delivery.message.partition("\n")[0][:200],
            delivery=key,
        ),
    )
    answer: dict[str, Any] = {"reason": decision.reason, **accepted_body(site, stored)}
    return JSONResponse(answer, 200 if stored.duplicate else 202)


def _proved(name: str, headers: dict[str, str], body: bytes, site: Site) -> tuple[App, Delivery]:
    """The app, and what its forge says. Raises SignatureRefused, and MalformedDelivery of what is signed."""
    provider = identify(headers)
    app = Apps(site.database).find(name)
    # One answer for an app that is not there and for a signature that is wrong: whoever asks learns no names.
    secret = webhook_secret(name, site.database, site.vault) if app else None
    if provider is None or app is None or secret is None:
        if provider is not None:
            verify(provider, headers, body, NOBODY, now=time.time())  # which takes as long, and never succeeds
        raise SignatureRefused
    return app, parse(provider, headers, verify(provider, headers, body, secret, now=time.time()))


def _source(delivery: Delivery, configured: str | None) -> GitSource:
    url = configured or delivery.clone_url
    if not url:
        raise UsageError(
            "git-url-missing",
            delivery.repository,
            "the delivery names no address",
            hint="imageforge apps set --git-url",
        )
    return GitSource(url=url, ref=delivery.ref, commit=delivery.after, tip_only=True)


def _too_big() -> ForgeError:
    return UsageError("body-too-big", "the delivery", f"more than {LARGEST_BODY} bytes")

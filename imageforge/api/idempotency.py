"""Idempotency-Key: a creating call that is sent again gets the answer of the first, and makes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from imageforge.api.auth import Caller
from imageforge.api.site import Site
from imageforge.errors import UsageError
from imageforge.store import Answer, Answers, DeliveryKey
from imageforge.store.answers import PROVIDER

LONGEST_KEY = 255


class ReusedKey(UsageError):
    """A key that came with another content before."""


def once(
    request: Request,
    site: Site,
    who: Caller,
    content: str,
    make: Callable[[DeliveryKey | None], Any],
    status: int,
) -> JSONResponse:
    """Answer with what `make` gives, or with what it gave before. `content` is all that decides what is made; what
    `make` is told is to be stored together with a build that it makes."""
    key = request.headers.get("idempotency-key", "")
    if not key:
        return JSONResponse(make(None), status)
    if len(key) > LONGEST_KEY:
        raise UsageError(
            "idempotency-key-too-long",
            key[:20],
            f"{len(key)} characters, expected at most {LONGEST_KEY}",
            hint="a UUID",
        )
    fingerprint = "sha256:" + hashlib.sha256(f"{request.method} {request.url.path} {content}".encode()).hexdigest()
    answers = Answers(site.database)
    with answers.alone(who.token.id, key):
        kept = answers.find(who.token.id, key)
        if kept is not None and kept.fingerprint != fingerprint:
            raise ReusedKey(
                "idempotency-key-reused",
                key,
                "this key came with another request",
                hint="use a new key for each request",
            )
        if kept is None:
            call = hashlib.sha256(f"{who.token.id} {key} {fingerprint}".encode()).hexdigest()
            made = make(DeliveryKey(provider=PROVIDER, delivery=call))
            kept = Answer(fingerprint=fingerprint, status=status, body=made)
            answers.keep(who.token.id, key, kept)
            return JSONResponse(dict(kept.body), kept.status)
    return JSONResponse(dict(kept.body), kept.status, headers={"Idempotency-Replayed": "true"})

"""Errors as RFC 9457 problems, with the codes and hints of the command line. The only place of the API that renders
one."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from builders import BuilderError
from imageforge.api.headers import HEADERS
from imageforge.config.validation import request_problem
from imageforge.errors import Failure, ForgeError, Kind, UsageError
from linters import LintError
from registry import RegistryError
from runtime import RuntimeFailure

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "unauthorized": 401,
    "token-expired": 401,
    "token-revoked": 401,
    "signature-refused": 401,
    "forbidden": 403,
    "https-required": 403,
    "not-found": 404,
    "app-busy": 409,
    "registry-busy": 409,
    "app-name-taken": 409,
    "domain-taken": 409,
    "host-taken": 409,
    "build-ended": 409,
    "build-not-ended": 409,
    "build-not-kept": 409,
    "idempotency-key-reused": 409,
    "replicas-set-by-file": 409,
    "no-live-release": 409,
    "owned-by-app": 409,
    "rollout-paused": 409,
    "already-paused": 409,
    "not-paused": 409,
    "being-deleted": 409,
    "namespace-ending": 409,
    "namespace-kept": 409,
    "immutable-field": 409,
    "object-taken": 409,
    "selector-changed": 409,
    "revision-not-found": 404,
    "no-rollout": 404,
    "too-many-hooks": 409,
    "too-many-domains": 409,
    "context-gone": 410,
    "context-too-big": 413,
    "body-too-big": 413,
    "unknown-media-type": 415,
    "invalid-request": 422,
    "too-many-requests": 429,
    "disk-full": 507,
}
BY_KIND = {"usage": 400, "refused": 422, "environment": 503, "failed": 500}
MEANING = {
    400: "The request makes no sense as it stands.",
    401: "No valid token, or no valid signature.",
    403: "The token does not reach so far, or it came over public plain HTTP.",
    404: "There is nothing of this name or number.",
    409: "It is in no state for this, it belongs to another app, or the Idempotency-Key came with another request.",
    410: "The source is no longer kept.",
    413: "The body is too big.",
    415: "The body is of a type that is not taken here.",
    422: "A parameter or a field is refused; the first of them is named.",
    429: "Too many calls; `Retry-After` says when the next one is allowed.",
    503: "A part of the stack is missing.",
    507: "The disk is full.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        **({"headers": {"Retry-After": {"schema": {"type": "integer"}}}} if status == 429 else {}),
    }
    for status, meaning in MEANING.items()
}
"""The problems that a route may answer with, for the OpenAPI document."""


class ProblemResponse(JSONResponse):
    """A problem. Beyond ASCII it is escaped: half a surrogate pair, which JSON can hold, has no UTF-8."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, separators=(",", ":")).encode()


class Unauthorized(ForgeError):
    """No valid token."""

    kind = "refused"


class TooOften(ForgeError):
    """More calls than are allowed; `seconds` until the next one is."""

    kind: Kind = "refused"

    def __init__(self, subject: str, seconds: float) -> None:
        super().__init__("too-many-requests", subject, "too many calls", hint=f"wait {seconds:.0f} seconds")
        self.seconds = seconds


def status_of(failure: Failure) -> int:
    """The HTTP status of an error."""
    if failure.code in STATUS:
        return STATUS[failure.code]
    if failure.code.startswith("no-such-"):
        return 404
    return BY_KIND[failure.kind]


def problem(failure: Failure) -> dict[str, Any]:
    """The body of an error. `type` is a name, not an address: nothing is to be fetched there."""
    body = {
        "type": f"tag:imageforge.io,2026:{failure.code}",
        "title": failure.code.replace("-", " "),
        "status": status_of(failure),
        "detail": f"{failure.subject}: {failure.message}",
        "code": failure.code,
        "subject": failure.subject,
        "message": failure.message,
        "hint": failure.hint,
        "kept": failure.kept,
    }
    return {key: value for key, value in body.items() if value is not None}


def install(app: FastAPI) -> None:
    """Have every error of this application answered as a problem."""
    for known in (ForgeError, BuilderError, LintError, RegistryError, RuntimeFailure):
        app.add_exception_handler(known, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _bug)


def answer(failure: Exception) -> Response:
    """An error as a response."""
    headers: dict[str, str] = {}
    if isinstance(failure, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="imageforge"'
    if isinstance(failure, TooOften):
        headers["Retry-After"] = str(max(1, round(failure.seconds)))
    assert isinstance(failure, Failure)
    return ProblemResponse(problem(failure), status_of(failure), headers=headers)


def _failed(request: Request, error: Exception) -> Response:
    del request
    return answer(error)


def _invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    return answer(invalid_request(error.errors()[0]))


def invalid_request(detail: Mapping[str, Any], *, under: str = "") -> UsageError:
    """The error for one of pydantic's complaints; `under` is where the value came from, if its path does not say so."""
    said = request_problem({**detail, "loc": (*((under,) if under else ()), *detail["loc"])})
    return UsageError("invalid-request", said.path, said.message, hint=said.hint, kept="nothing was changed")


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = re.sub(r"[^a-z]+", "-", str(error.detail).lower()).strip("-") or "http-error"
    body = {
        "type": f"tag:imageforge.io,2026:{code}",
        "title": str(error.detail),
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path}",
        "code": code,
    }
    return ProblemResponse(body, error.status_code, headers=error.headers)


def _gone(request: Request, error: Exception) -> Response:
    # Who broke off reads no answer; the number is what nginx notes for it.
    log.info("%s %s: %s", request.method, request.url.path, type(error).__name__)
    return Response(status_code=499)


def _bug(request: Request, error: Exception) -> Response:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    body = {
        "type": "tag:imageforge.io,2026:internal",
        "title": "internal",
        "status": 500,
        "detail": f"{type(error).__name__}",
        "code": "internal",
        "hint": "this is a bug of imageforge; the log of the service `api` says more",
    }
    # This one is sent from outside of all that adds to answers.
    return ProblemResponse(body, 500, headers=HEADERS)

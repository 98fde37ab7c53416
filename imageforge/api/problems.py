"""Errors as RFC 9457 problems, with the codes and hints of the command line. The only place of the API that renders
one."""

from __future__ import annotations

import logging
import re
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from builders import BuilderError
from imageforge.errors import Failure, ForgeError
from linters import LintError
from registry import RegistryError
from runtime import RuntimeFailure

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "unauthorized": 401,
    "signature-refused": 401,
    "forbidden": 403,
    "app-busy": 409,
    "build-ended": 409,
    "build-not-ended": 409,
    "build-not-kept": 409,
    "idempotency-key-reused": 409,
    "replicas-set-by-file": 409,
    "no-live-release": 409,
    "context-gone": 410,
    "context-too-big": 413,
    "body-too-big": 413,
    "too-many-requests": 429,
    "disk-full": 507,
}
BY_KIND = {"usage": 400, "refused": 422, "environment": 503, "failed": 500}


class Unauthorized(ForgeError):
    """No valid token."""

    kind = "refused"


class TooOften(ForgeError):
    """More calls than are allowed; `seconds` until the next one is."""

    kind = "refused"

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
    app.add_exception_handler(Exception, _bug)


def answer(failure: Exception) -> Response:
    """An error as a response."""
    headers: dict[str, str] = {}
    if isinstance(failure, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="imageforge"'
    if isinstance(failure, TooOften):
        headers["Retry-After"] = str(max(1, round(failure.seconds)))
    assert isinstance(failure, Failure)
    return JSONResponse(problem(failure), status_of(failure), headers=headers, media_type=MEDIA_TYPE)


def _failed(request: Request, error: Exception) -> Response:
    del request
    return answer(error)


def _invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    body = {
        "type": "tag:imageforge.io,2026:invalid-request",
        "title": "invalid request",
        "status": 422,
        "detail": f"{where}: {first['msg']}",
        "code": "invalid-request",
        "subject": where,
        "message": first["msg"],
        "hint": "the fields are described at /docs",
    }
    return JSONResponse(body, 422, media_type=MEDIA_TYPE)


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
    return JSONResponse(body, error.status_code, headers=error.headers, media_type=MEDIA_TYPE)


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
    return JSONResponse(body, 500, media_type=MEDIA_TYPE)

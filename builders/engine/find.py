"""Which engine to talk to: the first of DOCKER_HOST, the CLI's context, the system socket, the private socket."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from builders.engine.cli_context import current_context
from builders.engine.connection import Unreachable, ping
from builders.engine.endpoint import Endpoint
from builders.errors import EngineError

SYSTEM_SOCKET = Path("/var/run/docker.sock")


def find_engine(
    *, private_socket: Path | None, environ: Mapping[str, str] | None = None, system_socket: Path = SYSTEM_SOCKET
) -> Endpoint:
    """The engine to use; it answered a ping a moment ago.

    One that the user named (DOCKER_HOST, a context) must answer: EngineError ``engine-unreachable`` otherwise, because
    another engine in its place would be a surprise. The sockets are tried in turn; with none answering EngineError
    ``engine-missing`` says what each of them did.
    """
    environ = os.environ if environ is None else environ
    named = _named(environ)
    if named is not None:
        return _must_answer(named)
    tried = []
    for socket, origin in ((system_socket, "system socket"), (private_socket, "private engine")):
        if socket is None:
            continue
        endpoint = Endpoint(host=f"unix://{socket}", origin=origin)
        failure = _failure(endpoint)
        if failure is None:
            return endpoint
        tried.append(f"{socket}: {failure.reason}")
        if failure.denied:
            raise _denied(endpoint, failure)
    raise EngineError(
        "engine-missing",
        "Docker Engine",
        f"none answers ({'; '.join(tried)})" if tried else "none is known",
        hint="`imageforge up` starts one, or name one with DOCKER_HOST",
    )


def _named(environ: Mapping[str, str]) -> Endpoint | None:
    """The engine that the user chose, by the rules of Docker's own command line: DOCKER_HOST beats any context."""
    if host := environ.get("DOCKER_HOST"):
        verify, certificates = environ.get("DOCKER_TLS_VERIFY"), environ.get("DOCKER_CERT_PATH")
        tls = Path(certificates) if verify and certificates else None
        return Endpoint(host=host, origin="DOCKER_HOST", tls=tls)
    context = current_context(environ)
    if context is None:
        return None
    return Endpoint(host=context.host, origin=f"context {context.name}", tls=context.tls)


def _must_answer(endpoint: Endpoint) -> Endpoint:
    failure = _failure(endpoint)
    if failure is None:
        return endpoint
    if failure.denied:
        raise _denied(endpoint, failure)
    remedy = "unset DOCKER_HOST" if endpoint.origin == "DOCKER_HOST" else "choose another with `docker context use`"
    raise EngineError(
        "engine-unreachable",
        f"{endpoint.host} ({endpoint.origin})",
        f"no Docker Engine answers there: {failure.reason}",
        hint=f"start that engine, or {remedy}",
    )


def _denied(endpoint: Endpoint, failure: Unreachable) -> EngineError:
    return EngineError(
        "engine-unreachable",
        f"{endpoint.host} ({endpoint.origin})",
        f"an engine is there, and this user may not open its socket: {failure.reason}",
        hint="join the group that owns the socket (`docker`, mostly), or run as root",
    )


def _failure(endpoint: Endpoint) -> Unreachable | None:
    try:
        ping(endpoint.host, endpoint.tls)
    except Unreachable as failure:
        return failure
    return None

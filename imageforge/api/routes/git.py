"""The git remote: `git push` over HTTP, a token as the password."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse

from imageforge.api.auth import Here, caller
from imageforge.api.problems import Unauthorized
from imageforge.api.schemas import Name
from imageforge.errors import UsageError
from imageforge.git_remote.backend import converse
from imageforge.git_remote.program import serving
from imageforge.git_remote.repository import backend, environment, repository
from imageforge.store import Scope

router = APIRouter(tags=["git"], include_in_schema=False)
SERVICES = ("git-upload-pack", "git-receive-pack")


@router.get("/git/{app}.git/{path:path}")
@router.post("/git/{app}.git/{path:path}")
async def serve(app: Annotated[Name, Path()], path: str, request: Request, site: Here) -> Response:
    """git's smart HTTP protocol."""
    try:
        who = await asyncio.to_thread(caller, request, site)
    except Unauthorized as error:
        # git asks for a password only when it is told to by this very word.
        return Response(f"{error}\n", 401, headers={"WWW-Authenticate": 'Basic realm="imageforge"'})
    service = request.query_params.get("service", "") if path == "info/refs" else path
    if service not in SERVICES:
        raise UsageError("no-such-git-service", path[:80], "only git's smart protocol is served", hint="use git 2.x")
    pushes = service == "git-receive-pack"
    who.need(Scope.DEPLOY if pushes else Scope.BUILD, app)
    known = await asyncio.to_thread(site.intake.new_app if pushes else site.intake.app, app)
    await asyncio.to_thread(repository, site.home, app, known.settings.branch)
    headers = request.headers
    environ = {
        **environment(site.home),
        **serving(),
        "GIT_PROJECT_ROOT": str(site.home.repositories),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{app}.git/{path}",
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.url.query,
        "CONTENT_TYPE": headers.get("content-type", ""),
        "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        "GIT_PROTOCOL": headers.get("git-protocol", ""),
        "REMOTE_ADDR": request.client.host if request.client else "",
        "REMOTE_USER": who.token.id,
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_2": "receive.maxInputSize",
        "GIT_CONFIG_VALUE_2": str(site.settings.context_limit * 1024 * 1024),
        "GIT_CONFIG_KEY_0": "http.receivepack",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_CONFIG_KEY_1": "receive.fsckObjects",
        "GIT_CONFIG_VALUE_1": "true",
        "FORGE_APP": app,
        "FORGE_ACTOR": who.name,
    }
    if "content-length" in headers:
        environ["CONTENT_LENGTH"] = headers["content-length"]
    reply = await converse(await asyncio.to_thread(backend), environ, request.stream())
    return StreamingResponse(reply.body, reply.status, headers=dict(reply.headers))

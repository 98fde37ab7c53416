"""Builds: taking them in, listing, following, cancelling."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError
from sse_starlette import EventSourceResponse

from imageforge.api.auth import Here, Who
from imageforge.api.body_limit import LARGEST_JSON
from imageforge.api.feed import Told
from imageforge.api.idempotency import once
from imageforge.api.problems import invalid_request
from imageforge.api.schemas import Accepted, BuildId, BuildPage, BuildView, Name, NewBuild, OptionsBody, Word
from imageforge.api.site import Site
from imageforge.errors import UsageError
from imageforge.pipeline.event import EventKind, event_from
from imageforge.queue.checkout import git_policy
from imageforge.queue.intake import Origin
from imageforge.queue.spec import ArchiveSource, GitSource, Options
from imageforge.report.failure import render_stored
from imageforge.report.progress import Progress
from imageforge.sources import parse_git_url
from imageforge.sources.head import HEAD, wrong_with
from imageforge.store import Accepted as Stored
from imageforge.store import Build, Builds, BuildStatus, DeliveryKey, Scope

router = APIRouter(prefix="/v1/builds", tags=["builds"])
Id = Annotated[BuildId, Path()]
ARCHIVES = (
    "application/x-tar",
    "application/gzip",
    "application/x-gzip",
    "application/x-gtar",
    "application/octet-stream",
)
MIB = 1024 * 1024
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/NewBuild"}},
            "application/x-tar": {"schema": {"type": "string", "format": "binary"}},
            "application/gzip": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

STREAMS: dict[str, Any] = {kind: {} for kind in ("text/event-stream", "application/x-ndjson", "text/plain")}


@router.post("", status_code=202, response_model=Accepted, openapi_extra=BODY)
async def create(
    request: Request,
    site: Here,
    who: Who,
    app: Annotated[Name | None, Query(description="With an archive: the app.")] = None,
    options: Annotated[str | None, Query(max_length=65536, description="With an archive: OptionsBody as JSON.")] = None,
    branch: Annotated[
        Word | None, Query(description="With an archive: newer builds of it supersede waiting ones.")
    ] = None,
    revision: Annotated[
        str | None, Query(pattern="^[0-9a-f]{7,64}$", description="With an archive: its commit.")
    ] = None,
) -> JSONResponse:
    """Build an uploaded archive (tar, tar.gz), which is streamed to the disk, or a ref of a git repository (JSON).

    The answer comes when the build is stored; follow it at `events`. It deploys unless `options.deploy` is false.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return await asyncio.to_thread(_from_git, await _json(request), request, site, who)
    if kind not in ARCHIVES:
        raise UsageError(
            "unknown-media-type",
            kind or "no Content-Type",
            "expected application/json, application/x-tar or application/gzip",
            hint="the two ways to send a build are at /docs",
        )
    if app is None:
        raise UsageError("app-missing", "the query", "an archive comes with ?app=NAME", hint="name the app")
    chosen = _options(options)
    who.need(Scope.DEPLOY if chosen.deploy else Scope.BUILD, app)
    limit = site.settings.context_limit * MIB
    if int(request.headers.get("content-length") or 0) > limit:
        raise UsageError("context-too-big", "the archive", f"more than {limit} bytes", kept="nothing was built")
    with site.intake.contexts.draft(limit=limit, spare=site.settings.build_free_disk * MIB) as draft:
        head, looked = b"", False
        async for piece in request.stream():
            await asyncio.to_thread(draft.write, piece)
            if not looked:
                head, looked = head + piece[: HEAD - len(head)], len(head) + len(piece) >= HEAD
                if looked:
                    await asyncio.to_thread(_look, head, whole=False)
        if not looked:
            await asyncio.to_thread(_look, head, whole=True)
        digest = await asyncio.to_thread(draft.keep)
    way = "upload" if branch else "api"

    def make(call: DeliveryKey | None) -> dict[str, Any]:
        source = ArchiveSource(digest=digest)
        origin = Origin(way=way, actor=who.name, branch=branch or "", revision=revision or "", delivery=call)
        stored = site.intake.submit(site.intake.new_app(app), source, Options(**chosen.model_dump()), origin)
        site.audit.record(who.name, "build", app, build=stored.build_id, way="upload")
        return accepted_body(site, stored)

    content = f"{app} {digest} {chosen.model_dump_json()} {branch} {revision}"
    return await asyncio.to_thread(once, request, site, who, content, make, 202)


@router.get("")
def list_builds(
    site: Here,
    who: Who,
    app: Annotated[Name | None, Query()] = None,
    status: Annotated[BuildStatus | None, Query()] = None,
    branch: Annotated[Word | None, Query()] = None,
    revision: Annotated[str | None, Query(pattern="^[0-9a-f]{7,64}$")] = None,
    before: Annotated[BuildId | None, Query(description="The cursor of an earlier answer's `next`.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> BuildPage:
    """Builds, newest first, of those that the token reaches."""
    wanted = app or who.token.app
    who.need(Scope.BUILD, wanted)
    found = Builds(site.database).latest(
        app=wanted, status=status, branch=branch, revision=revision, before=before, limit=limit + 1
    )
    page = found[:limit]
    return BuildPage(builds=[BuildView.of(b) for b in page], next=page[-1].id if len(found) > limit else None)


@router.get("/{build}")
def show(build: Id, site: Here, who: Who) -> BuildView:
    """One build."""
    return BuildView.of(_readable(build, site, who))


@router.get("/{build}/lint")
def lint_report(build: Id, site: Here, who: Who) -> list[dict[str, Any]]:
    """What the lint gate found."""
    _readable(build, site, who)
    rows = Builds(site.database).events(build)
    return [{"message": row["text"], **row["data"]} for row in rows if row["kind"] == EventKind.FINDING]


@router.get("/{build}/bill")
def bill(build: Id, site: Here, who: Who) -> list[dict[str, Any]]:
    """What each stage did and took: seconds, layers and bytes before and after, bytes sent."""
    _readable(build, site, who)
    rows = Builds(site.database).events(build)
    return [
        {"stage": row["stage"], "summary": row["text"], **row["data"]}
        for row in rows
        if row["kind"] == EventKind.STAGE_FINISHED
    ]


@router.post("/{build}/cancel", status_code=202)
def cancel(build: Id, site: Here, who: Who) -> BuildView:
    """Cancel a build: one that waits at once, one that runs within two seconds."""
    found = _readable(build, site, who)
    who.need(_scope_of(found), found.app)
    site.intake.cancel(build)
    site.audit.record(who.name, "build-cancelled", found.app, build=build)
    return BuildView.of(site.intake.build(build))


@router.post("/{build}/retry", status_code=202, response_model=Accepted)
def retry(build: Id, request: Request, site: Here, who: Who) -> JSONResponse:
    """Build the same source with the same options once more."""
    found = _readable(build, site, who)
    who.need(_scope_of(found), found.app)

    def make(call: DeliveryKey | None) -> dict[str, Any]:
        stored = site.intake.retry(build, who.name, delivery=call)
        site.audit.record(who.name, "build-retried", found.app, build=build, again=stored.build_id)
        return accepted_body(site, stored)

    return once(request, site, who, str(build), make, 202)


@router.get("/{build}/events", response_class=EventSourceResponse, responses={200: {"content": STREAMS}})
async def events(
    build: Id,
    request: Request,
    site: Here,
    who: Who,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only events with a higher number.")] = 0,
    follow: Annotated[bool, Query(description="Go on until the build has ended.")] = True,
    form: Annotated[Literal["sse", "ndjson", "text"] | None, Query(alias="format")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """A build's events as they come: server-sent events, resumable by Last-Event-ID.

    With `Accept: application/x-ndjson` one JSON object a line, with `Accept: text/plain` as a terminal shows them. The
    last one, `end`, is the build.
    """
    await asyncio.to_thread(_readable, build, site, who)
    if last_event_id and last_event_id.isdecimal():
        after = max(after, int(last_event_id[:16]))
    chosen = form or _accepted(request.headers.get("accept", ""))
    rows = site.feeds.follow(build, after) if follow else _stored(build, after, site)
    if chosen == "ndjson":
        return StreamingResponse(_ndjson(rows), media_type="application/x-ndjson")
    if chosen == "text":
        return StreamingResponse(_text(rows), media_type="text/plain; charset=utf-8")
    return EventSourceResponse(_sse(rows), ping=15)


def accepted_body(site: Site, stored: Stored) -> dict[str, Any]:
    """The answer to who asked for a build."""
    path = f"{site.settings.service_url}/v1/builds/{stored.build_id}"
    return {
        "build": stored.build_id,
        "status": BuildStatus.QUEUED.value,
        "url": path,
        "events": f"{path}/events",
        "superseded": list(stored.superseded),
        "duplicate": stored.duplicate,
    }


def _readable(build: int, site: Site, who: Who) -> Build:
    found = site.intake.build(build)
    who.need(Scope.BUILD, found.app)
    return found


def _scope_of(build: Build) -> Scope:
    """What a token needs to cancel a build or to have it again: what starting it needs."""
    deploys = bool(((build.spec or {}).get("options") or {}).get("deploy", True))
    return Scope.DEPLOY if deploys else Scope.BUILD


def _from_git(body: NewBuild, request: Request, site: Site, who: Who) -> JSONResponse:
    who.need(Scope.DEPLOY if body.options.deploy else Scope.BUILD, body.app)
    parse_git_url(body.git.url, git_policy(site.settings))

    def make(call: DeliveryKey | None) -> dict[str, Any]:
        source = GitSource(url=body.git.url, ref=body.git.ref, commit=body.git.commit)
        revision = body.git.commit or ""
        origin = Origin(way="api", actor=who.name, branch=body.git.ref, revision=revision, delivery=call)
        options = Options(**body.options.model_dump())
        stored = site.intake.submit(site.intake.new_app(body.app), source, options, origin)
        site.audit.record(who.name, "build", body.app, build=stored.build_id, way="git", url=body.git.url)
        return accepted_body(site, stored)

    return once(request, site, who, body.model_dump_json(), make, 202)


def _look(head: bytes, *, whole: bool) -> None:
    """Refuse what cannot be an archive before anything is made of it."""
    problem = wrong_with(head, whole=whole)
    if problem:
        raise UsageError(
            "archive-empty" if not head else "archive-unreadable",
            "the body",
            f"{problem}, expected a tar archive of the build context, plain or compressed",
            hint="tar cz . | curl --data-binary @- … sends one; with -d in its place curl changes it",
            kept="nothing was built",
        )


async def _json(request: Request) -> NewBuild:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > LARGEST_JSON:
            raise UsageError("body-too-big", "the body", f"more than {LARGEST_JSON} bytes")
    try:
        return NewBuild.model_validate_json(data)
    except ValidationError as error:
        raise invalid_request(error.errors()[0], under="body") from error


def _options(text: str | None) -> OptionsBody:
    try:
        return OptionsBody.model_validate_json(text) if text else OptionsBody()
    except ValidationError as error:
        raise invalid_request(error.errors()[0], under="options") from error


def _accepted(header: str) -> str:
    if "ndjson" in header:
        return "ndjson"
    return "text" if "text/plain" in header else "sse"


async def _stored(build: int, after: int, site: Site) -> AsyncIterator[Sequence[Told] | Build]:
    builds = Builds(site.database)
    yield [Told(row) for row in await asyncio.to_thread(lambda: builds.events(build, after=after))]
    found = await asyncio.to_thread(builds.find, build)
    if found is not None and found.status.ended:
        yield found


async def _sse(rows: AsyncIterator[Sequence[Told] | Build]) -> AsyncIterator[bytes]:
    async for several in rows:
        if isinstance(several, Build):
            yield f"event: end\r\ndata: {json.dumps(BuildView.of(several).model_dump())}\r\n\r\n".encode()
        else:
            yield b"".join(told.sse for told in several)


async def _ndjson(rows: AsyncIterator[Sequence[Told] | Build]) -> AsyncIterator[bytes]:
    async for several in rows:
        if isinstance(several, Build):
            yield json.dumps({"kind": "end", "build": BuildView.of(several).model_dump()}).encode() + b"\n"
        else:
            yield b"".join(told.ndjson for told in several)


async def _text(rows: AsyncIterator[Sequence[Told] | Build]) -> AsyncIterator[str]:
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        async for several in rows:
            if isinstance(several, Build):
                stream.write(ending_text(several))
            else:
                for told in several:
                    progress(event_from(told.row))
            yield stream.getvalue()
            stream.seek(0)
            stream.truncate()


def ending_text(build: Build) -> str:
    """The last lines of a build for a terminal."""
    if build.error:
        return f"{render_stored(build.error, f'build {build.id}')}\n"
    if build.status is BuildStatus.SUPERSEDED:
        return f"superseded by build {build.superseded_by}\n"
    return f"build {build.id} {build.status.value}" + (f": {build.reference}\n" if build.reference else "\n")

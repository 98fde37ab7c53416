"""Objects of Kubernetes: applying, comparing, deleting and showing them, and what happened to them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response

from imageforge.api.auth import Caller, Here, Who
from imageforge.api.idempotency import once
from imageforge.api.lines import STREAMS, Rows, streamed
from imageforge.api.schemas import Applied, ChangeView, Description, ObjectName, ObjectSeen, Word
from imageforge.api.site import Site
from imageforge.errors import UsageError
from imageforge.pipeline.applying import BEAT, Entry, Text, apply_and_follow
from imageforge.pipeline.ownership import refuse_changes_of_owned, refuse_owned
from imageforge.store import DeliveryKey, Scope
from runtime import (
    KINDS,
    AutoscalerStatus,
    ControllerClient,
    CronJobStatus,
    JobStatus,
    NotFound,
    ObjectView,
    PodStatus,
    ServiceStatus,
    value_as_json,
)

router = APIRouter(prefix="/v1", tags=["objects"])
LARGEST_TEXT = 7 * 1024 * 1024
"""What the controller's socket takes of a text, in which a character may become six."""
Standing = AutoscalerStatus | CronJobStatus | JobStatus | PodStatus | ServiceStatus
NONE = "-"
"""In an address, the namespace of what is in none."""
MEDIA_TYPES = ("application/yaml", "application/json", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain")
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string"}} for kind in ("application/yaml", "text/plain")}
        | {"application/json": {"schema": {"type": "object"}}},
    }
}
SourceQuery = Annotated[Word, Query(max_length=255, description="What errors call the text.")]
Place = Annotated[str, Path(pattern=r"^(-|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$", description="`-` for none.")]
KindPath = Annotated[str, Path(pattern=r"^[A-Z][A-Za-z]{1,40}$", description="Such as Deployment.")]
NamePath = Annotated[ObjectName, Path()]
NamespaceQuery = Annotated[
    str | None,
    Query(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="One namespace; left out, all of them."),
]
KindQuery = Annotated[str | None, Query(pattern=r"^[A-Z][A-Za-z]{1,40}$", description="Such as Deployment.")]


@router.post(
    "/apply",
    response_model=Applied,
    responses={200: {"content": STREAMS}},
    openapi_extra=BODY,
)
async def apply(
    request: Request,
    site: Here,
    who: Who,
    dry_run: Annotated[bool, Query(description="Say what would be done, and do nothing.")] = False,
    wait: Annotated[bool, Query(description="Answer with events until every Deployment is rolled out.")] = False,
    source: SourceQuery = "manifest",
    namespace: NamespaceQuery = None,
) -> Response:
    """Make objects as manifests say, all of them or none: YAML of one or more documents, or JSON. `namespace` is where
    those are that name none; then none may name another.

    With `wait` the answer is a stream, of server-sent events or, with `Accept: application/x-ndjson`, one JSON object a
    line: `applied`, `progress`, for each rollout its `report` with the proof of its cut-over, and `end` with the error
    that it came to, or null. Whoever leaves stops nothing.
    """
    who.need(Scope.DEPLOY)
    text = Text(source=source, text=await _text(request), place=namespace)
    if wait and not dry_run:
        return await streamed(request, _following(text, site, who))

    def make(_: DeliveryKey | None) -> dict[str, Any]:
        checked = site.controller.check(text.text, source=text.source, place=text.place)
        refuse_changes_of_owned(site.controller, checked)
        done = checked if dry_run else site.controller.apply(text.text, source=text.source, place=text.place)
        if not dry_run:
            _note(site, who, [value_as_json(item) for item in done])
        return {"objects": [value_as_json(item) for item in done]}

    content = f"{dry_run} {text.source} {text.place} {text.text}"
    return await asyncio.to_thread(once, request, site, who, content, make, 200)


def _following(text: Text, site: Site, who: Caller) -> Rows:
    refuse_changes_of_owned(site.controller, site.controller.check(text.text, source=text.source, place=text.place))
    entry = Entry(address=site.settings.http_address, port=site.settings.http_port)
    for row in apply_and_follow(site.controller, [text], entry):
        if row["kind"] == "applied":
            _note(site, who, row["objects"])
        yield None if row is BEAT else row


def _note(site: Site, who: Caller, objects: list[dict[str, Any]]) -> None:
    for item in objects:
        if item["change"] != "unchanged":
            named = f"{item['kind']} {item['namespace']}/{item['name']}"
            site.audit.record(who.name, "applied", named, change=item["change"])


@router.post("/diff", openapi_extra=BODY)
async def diff(
    request: Request, site: Here, who: Who, source: SourceQuery = "manifest", namespace: NamespaceQuery = None
) -> list[ChangeView]:
    """What an apply would change, object by object, as YAML before and after; of Secrets only whether their values
    change."""
    who.need(Scope.DEPLOY)
    text = await _text(request)
    changes = await asyncio.to_thread(site.controller.preview, text, source=source, place=namespace)
    return [ChangeView(**value_as_json(change)) for change in changes]


@router.get("/objects")
def list_objects(site: Here, who: Who, kind: KindQuery = None, namespace: NamespaceQuery = None) -> list[ObjectSeen]:
    """Objects as they stand, their manifests as YAML, with stars for what Secrets hold. Manifests tell the values of
    variables, which needs what the environment of an app needs."""
    who.need(Scope.DEPLOY)
    _known(kind)
    return [ObjectSeen(**value_as_json(view)) for view in site.controller.views(kind, namespace)]


@router.get("/objects/{namespace}/{kind}/{name}")
def show_object(namespace: Place, kind: KindPath, name: NamePath, site: Here, who: Who) -> ObjectSeen:
    """One object as it stands."""
    who.need(Scope.DEPLOY)
    return ObjectSeen(**value_as_json(_view(site, kind, namespace, name)))


@router.get("/objects/{namespace}/{kind}/{name}/description")
def describe(namespace: Place, kind: KindPath, name: NamePath, site: Here, who: Who) -> Description:
    """One object with how it stands and what happened to it; of a Deployment its revisions too."""
    who.need(Scope.DEPLOY)
    view = _view(site, kind, namespace, name)
    controller, where = site.controller, view.namespace
    status, revisions = _status(controller, kind, where, name), []
    if kind == "Deployment":
        revisions = [value_as_json(item) for item in controller.revisions(where, name)]
    happened = [value_as_json(event) for event in controller.events(where, kind, name)]
    return Description(object=ObjectSeen(**value_as_json(view)), status=status, revisions=revisions, events=happened)


@router.delete("/objects/{namespace}/{kind}/{name}", status_code=204)
def delete_object(
    namespace: Place,
    kind: KindPath,
    name: NamePath,
    site: Here,
    who: Who,
    volumes: Annotated[bool, Query(description="Of a claim, or a Namespace: what it holds goes too.")] = False,
) -> Response:
    """Delete an object, and stop what it made; it is listed until that is gone. What volumes hold stays, unless asked
    otherwise."""
    who.need(Scope.DEPLOY)
    _known(kind)
    where = "" if namespace == NONE else namespace
    refuse_owned(site.controller, kind, where, name)
    site.controller.delete(where, kind, name, volumes=volumes)
    site.audit.record(who.name, "deleted", f"{kind} {where}/{name}", volumes=volumes)
    return Response(status_code=204)


@router.get("/pods")
def list_pods(site: Here, who: Who, namespace: NamespaceQuery = None) -> list[dict[str, Any]]:
    """How the pods stand that are no Deployment's."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.pods(namespace)]


@router.get("/services")
def list_services(site: Here, who: Who, namespace: NamespaceQuery = None) -> list[dict[str, Any]]:
    """How the Services stand."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.services(namespace)]


@router.get("/jobs")
def list_jobs(site: Here, who: Who, namespace: NamespaceQuery = None) -> list[dict[str, Any]]:
    """How the Jobs stand."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.jobs(namespace)]


@router.get("/cronjobs")
def list_cron_jobs(site: Here, who: Who, namespace: NamespaceQuery = None) -> list[dict[str, Any]]:
    """How the CronJobs stand."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.cron_jobs(namespace)]


@router.get("/autoscalers")
def list_autoscalers(site: Here, who: Who, namespace: NamespaceQuery = None) -> list[dict[str, Any]]:
    """How the HorizontalPodAutoscalers stand."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.autoscalers(namespace)]


@router.get("/secrets")
def list_secrets(site: Here, who: Who, namespace: NamespaceQuery = None) -> list[dict[str, Any]]:
    """The Secrets with their keys and the sizes of their values, and no value."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.secrets(namespace)]


@router.get("/events", response_model=None, responses={200: {"content": STREAMS}})
async def events(
    request: Request,
    site: Here,
    who: Who,
    namespace: NamespaceQuery = None,
    kind: KindQuery = None,
    name: Annotated[ObjectName | None, Query()] = None,
    follow: Annotated[bool, Query(description="Go on with what comes.")] = False,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only events with a higher number.")] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """What happened to objects, the latest last: server-sent events, resumable by Last-Event-ID, or with
    `Accept: application/x-ndjson` one JSON object a line. One that repeats comes again with its new count."""
    who.need(Scope.BUILD)
    if last_event_id and last_event_id.isdecimal():
        after = max(after, int(last_event_id[:16]))

    def rows() -> Rows:
        beats = site.controller.event_beats(namespace, kind, name, follow=follow)
        try:
            for event in beats:
                if event is None:
                    yield None
                elif event.number > after:
                    yield value_as_json(event)
        finally:
            beats.close()

    return await streamed(request, rows(), number="number")


def _status(controller: ControllerClient, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    """How an object stands; None for a kind that only is there."""
    if kind == "Deployment":
        return value_as_json(controller.deployment(namespace, name))
    looks: dict[str, Callable[[str], Sequence[Standing]]] = {
        "HorizontalPodAutoscaler": controller.autoscalers,
        "CronJob": controller.cron_jobs,
        "Job": controller.jobs,
        "Pod": controller.pods,
        "Service": controller.services,
    }
    found = looks[kind](namespace) if kind in looks else ()
    return next((value_as_json(item) for item in found if item.name == name), None)


async def _text(request: Request) -> str:
    """The body, of which the size is bounded before it comes here."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in MEDIA_TYPES:
        raise UsageError(
            "unknown-media-type", kind or "no Content-Type", f"expected {', '.join(MEDIA_TYPES[:2])}",
            hint="curl --data-binary @web.yaml -H 'Content-Type: application/yaml'", kept="nothing was changed",
        )  # fmt: skip
    try:
        text = (await request.body()).decode()
    except UnicodeDecodeError as error:
        raise UsageError("unreadable", "the body", f"byte {error.start} is not UTF-8", hint="send UTF-8") from error
    if len(json.dumps(text)) > LARGEST_TEXT:
        raise UsageError("body-too-big", "the body", f"more than {LARGEST_TEXT} characters once it is quoted as JSON")
    return text


def _known(kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        hint = f"one of {', '.join(sorted(KINDS))}"
        raise NotFound("no-such-kind", kind, "no kind of this name is kept here", hint=hint)


def _view(site: Site, kind: str, namespace: str, name: str) -> ObjectView:
    _known(kind)
    where = "" if namespace == NONE else namespace
    for view in site.controller.views(kind, where):
        if view.name == name:
            return view
    raise NotFound("not-found", f"{kind} {where}/{name}", "no such object", hint=f"GET /v1/objects?kind={kind}")

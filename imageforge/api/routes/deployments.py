"""Deployments: how they stand, their rollouts and reports, and what is done to them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from imageforge.api.auth import Caller, Here, Who
from imageforge.api.idempotency import once
from imageforge.api.lines import STREAMS, Rows, streamed
from imageforge.api.routes.objects import NamespaceQuery
from imageforge.api.schemas import AppliedView, DeploymentScale, ObjectName, Undo
from imageforge.api.site import Site
from imageforge.pipeline.ownership import refuse_owned
from imageforge.pipeline.rolled import record_of, report_of
from imageforge.store import DeliveryKey, Scope
from runtime import DeploymentStatus, RolloutPhase, value_as_json

router = APIRouter(prefix="/v1/deployments", tags=["deployments"])
KIND = "Deployment"
In = Annotated[str, Path(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
NamePath = Annotated[ObjectName, Path()]


@router.get("")
def list_deployments(site: Here, who: Who, namespace: NamespaceQuery = None) -> list[dict[str, Any]]:
    """How the Deployments stand."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.deployments(namespace)]


@router.get("/{namespace}/{name}")
def show(namespace: In, name: NamePath, site: Here, who: Who) -> dict[str, Any]:
    """How one stands: its counts, conditions and replicas."""
    who.need(Scope.BUILD)
    return value_as_json(site.controller.deployment(namespace, name))


@router.get("/{namespace}/{name}/watch", response_model=None, responses={200: {"content": STREAMS}})
async def watch(namespace: In, name: NamePath, request: Request, site: Here, who: Who) -> Response:
    """How it stands, at once and at each change, until it is rolled out, comes no nearer to that for longer than its
    deadline, or is gone: server-sent events, or with `Accept: application/x-ndjson` one JSON object a line."""
    who.need(Scope.BUILD)
    return await streamed(request, _statuses(site, namespace, name))


def _statuses(site: Site, namespace: str, name: str) -> Rows:
    said: DeploymentStatus | None = None
    for status in site.controller.watch(namespace, name):
        yield value_as_json(status) if status != said else None
        said = status
        seen = status.observed_generation >= status.generation
        if seen and status.phase in (RolloutPhase.COMPLETE, RolloutPhase.STALLED):
            return


@router.get("/{namespace}/{name}/revisions")
def revisions(namespace: In, name: NamePath, site: Here, who: Who) -> list[dict[str, Any]]:
    """The templates that it has and had, the oldest first."""
    who.need(Scope.BUILD)
    return [value_as_json(item) for item in site.controller.revisions(namespace, name)]


@router.get("/{namespace}/{name}/report")
def report(
    namespace: In,
    name: NamePath,
    site: Here,
    who: Who,
    revision: Annotated[
        int | None, Query(ge=1, le=2**31, description="The last one to it; left out, the last.")
    ] = None,
) -> dict[str, Any]:
    """The report of its last rollout: what changed, when each step was reached, its replicas, and the proof of the
    cut-over."""
    who.need(Scope.BUILD)
    site.controller.deployment(namespace, name)
    return report_of(record_of(site.controller, namespace, name, revision)).as_json()


@router.post("/{namespace}/{name}/undo", response_model=AppliedView)
def undo(namespace: In, name: NamePath, body: Undo, request: Request, site: Here, who: Who) -> JSONResponse:
    """Go back to the template of an earlier revision, by rolling update."""
    who.need(Scope.DEPLOY)

    def make(_: DeliveryKey | None) -> dict[str, Any]:
        done = site.controller.undo(namespace, name, revision=body.revision)
        _note(site, who, "undone", namespace, name, revision=body.revision)
        return value_as_json(done)

    return once(request, site, who, body.model_dump_json(), make, 200)


@router.post("/{namespace}/{name}/pause", status_code=204)
def pause(namespace: In, name: NamePath, site: Here, who: Who) -> Response:
    """Roll nothing of it out any more; it can be scaled."""
    who.need(Scope.DEPLOY)
    refuse_owned(site.controller, KIND, namespace, name)
    site.controller.pause(namespace, name)
    _note(site, who, "paused", namespace, name)
    return Response(status_code=204)


@router.post("/{namespace}/{name}/resume", status_code=204)
def resume(namespace: In, name: NamePath, site: Here, who: Who) -> Response:
    """Go on with a rollout that was paused."""
    who.need(Scope.DEPLOY)
    site.controller.resume(namespace, name)
    _note(site, who, "resumed", namespace, name)
    return Response(status_code=204)


@router.post("/{namespace}/{name}/restart", status_code=202)
def restart(namespace: In, name: NamePath, request: Request, site: Here, who: Who) -> JSONResponse:
    """Replace every replica by a new one of the same template."""
    who.need(Scope.DEPLOY)
    refuse_owned(site.controller, KIND, namespace, name)

    def make(_: DeliveryKey | None) -> dict[str, Any]:
        site.controller.restart(namespace, name)
        _note(site, who, "restarted", namespace, name)
        return {"status": "restarting"}

    return once(request, site, who, "", make, 202)


@router.post("/{namespace}/{name}/scale", status_code=202)
def scale(namespace: In, name: NamePath, body: DeploymentScale, site: Here, who: Who) -> dict[str, int]:
    """Run so many replicas from now on; it outlives an apply of a manifest that names no number."""
    who.need(Scope.DEPLOY)
    refuse_owned(site.controller, KIND, namespace, name)
    site.controller.scale(namespace, name, body.replicas)
    _note(site, who, "scaled", namespace, name, replicas=body.replicas)
    return {"replicas": body.replicas}


def _note(site: Site, who: Caller, action: str, namespace: str, name: str, **detail: Any) -> None:
    site.audit.record(who.name, action, f"{KIND} {namespace}/{name}", **detail)

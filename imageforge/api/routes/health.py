"""Whether the service lives, whether it can take builds, and how much it did."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from imageforge import __version__
from imageforge.api.auth import Here, Who
from imageforge.api.problems import RESPONSES
from imageforge.api.runtime_metrics import RuntimeMetrics
from imageforge.api.schemas import Readiness
from imageforge.config.names import WEB
from imageforge.store import Builds, Scope
from runtime import RuntimeFailure

router = APIRouter(tags=["health"])


@router.get("/v1/health")
def health() -> dict[str, str]:
    """The process answers. Needs no token."""
    return {"status": "ok", "version": __version__}


@router.get(
    "/v1/ready",
    response_model=Readiness,
    responses={503: {"description": "A part is missing.", "model": Readiness}},
)
def ready(site: Here) -> JSONResponse:
    """Whether a push would be taken and carried out. Needs no token, and tells no more than which part is missing. The
    parts are asked once a second at most."""
    parts = site.parts.get()
    whole = all(parts.values())
    return JSONResponse({"ready": whole, "parts": parts}, 200 if whole else 503)


@router.get("/v1/metrics", response_class=PlainTextResponse, responses=RESPONSES)
def metrics(site: Here, who: Who) -> Response:
    """Figures for Prometheus: of builds, of apps, and of what Services, replicas and autoscalers do and use."""
    who.need(Scope.BUILD)
    registry = CollectorRegistry()
    builds = Gauge("imageforge_builds", "Builds that are kept, by status.", ["status"], registry=registry)
    for status, count in Builds(site.database).counts().items():
        builds.labels(status).set(count)
    pending = site.waker.pending()
    Gauge("imageforge_queue_up", "Whether Redis answers.", registry=registry).set(pending is not None)
    Gauge("imageforge_queue_wakeups", "Wake-ups that no worker has taken.", registry=registry).set(pending or 0)
    labels = ["app", "process", "namespace"]
    desired = Gauge("imageforge_replicas_desired", "Replicas that should run.", labels, registry=registry)
    available = Gauge("imageforge_replicas_ready", "Replicas that are ready.", labels, registry=registry)
    try:
        for deployment in site.controller.deployments():
            whose = (deployment.app, deployment.component or WEB, deployment.namespace)
            desired.labels(*whose).set(deployment.desired)
            available.labels(*whose).set(deployment.ready)
        told = site.controller
        registry.register(RuntimeMetrics(told.top_services(), told.top_replicas(), told.autoscalers()))
        controller = True
    except RuntimeFailure:
        controller = False
    Gauge("imageforge_controller_up", "Whether the controller answers.", registry=registry).set(controller)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

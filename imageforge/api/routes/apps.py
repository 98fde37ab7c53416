"""Apps: settings, environment, what runs of them, and what is done to them."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import iterate_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse

from imageforge.api.auth import Caller, Here, Who
from imageforge.api.idempotency import once
from imageforge.api.problems import TooOften
from imageforge.api.routes.builds import accepted_body
from imageforge.api.schemas import (
    Accepted,
    AppSettingsBody,
    AppView,
    EnvironmentChange,
    Name,
    NewApp,
    OneSecret,
    ReleaseView,
    Rollback,
    Scale,
    SecretBody,
    SecretFor,
    SecretName,
    SecretsChange,
    SecretView,
    SourceSecret,
)
from imageforge.api.site import Site
from imageforge.config.names import deployment_name
from imageforge.errors import UsageError
from imageforge.pipeline import operations
from imageforge.pipeline.domains import NAMESPACE
from imageforge.pipeline.secret_change import NewSecret, change_secrets, purpose_of
from imageforge.queue.intake import Origin
from imageforge.store import App, Apps, DeliveryKey, Environment, Purpose, Releases, Scope, SealedSecrets

READERS = threading.BoundedSemaphore(20)
"""Who may read logs at once: half of the threads that the server has."""
router = APIRouter(prefix="/v1/apps", tags=["apps"])
SOURCE_SECRETS = ("token", "deploy-key", "known-hosts", "status-token")
AppName = Annotated[Name, Path()]
SecretInPath = Annotated[SecretName, Path()]
Number = Annotated[int, Path(ge=1, le=2**31)]


@router.get("")
def list_apps(site: Here, who: Who) -> list[AppView]:
    """The apps that the token reaches."""
    who.need(Scope.BUILD, who.token.app)
    return [_view(site, app) for app in Apps(site.database).all() if who.token.app in (None, app.name)]


@router.post("", status_code=201, response_model=AppView)
def create_app(body: NewApp, request: Request, site: Here, who: Who) -> JSONResponse:
    """Make an app, so that it can be pushed to. One that exists keeps what it has, and gets the settings."""
    who.need(Scope.DEPLOY, body.name)

    def make(_: DeliveryKey | None) -> dict[str, Any]:
        site.intake.new_app(body.name)
        app = site.intake.configure(body.name, body.model_dump(exclude_unset=True, exclude={"name"}))
        site.audit.record(who.name, "app-created", app.name)
        return _view(site, app).model_dump()

    return once(request, site, who, body.model_dump_json(), make, 201)


@router.get("/{app}")
def show_app(app: AppName, site: Here, who: Who) -> AppView:
    """One app."""
    who.need(Scope.BUILD, app)
    return _view(site, site.intake.app(app))


@router.patch("/{app}")
def change_app(app: AppName, body: AppSettingsBody, site: Here, who: Who) -> AppView:
    """Change settings; what is left out stays."""
    who.need(Scope.DEPLOY, app)
    changed = site.intake.configure(app, body.model_dump(exclude_unset=True))
    site.audit.record(who.name, "app-configured", app, **body.model_dump(exclude_unset=True))
    return _view(site, changed)


@router.delete("/{app}", status_code=204)
def delete_app(app: AppName, site: Here, who: Who) -> Response:
    """Stop an app and forget its releases and images."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    operations.delete_app(app, site.home, site.settings, site.database, site.controller)
    site.audit.record(who.name, "app-deleted", app)
    return Response(status_code=204)


@router.get("/{app}/env")
def show_environment(app: AppName, site: Here, who: Who) -> dict[str, str]:
    """The variables that were set for it."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    return dict(Environment(site.database).of(app))


@router.patch("/{app}/env", status_code=202)
def change_environment(app: AppName, body: EnvironmentChange, site: Here, who: Who) -> Accepted | None:
    """Set variables; null takes one away. Makes a release of the live one, unless `deploy` is false or none is live."""
    who.need(Scope.DEPLOY, app)
    known = site.intake.app(app)
    Environment(site.database).change(app, body.values)
    site.audit.record(who.name, "environment-changed", app, names=sorted(body.values))
    if not body.deploy or Releases(site.database).live(app) is None:
        return None
    origin = Origin(way="api", actor=who.name)
    accepted = site.intake.rerelease(known, None, origin, note="environment changed")
    return Accepted(**accepted_body(site, accepted))


@router.put("/{app}/source/{name}", status_code=204)
def set_source_secret(app: AppName, name: str, body: SourceSecret, site: Here, who: Who) -> Response:
    """Set what its private source is fetched with: `token`, `deploy-key` or `known-hosts`; or, of a source at GitHub,
    the `status-token` by which its commits get statuses and deploy reports."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    if name not in SOURCE_SECRETS:
        raise UsageError("no-such-source-secret", name, f"expected {', '.join(SOURCE_SECRETS)}")
    SealedSecrets(site.database).put(app, name, Purpose.SOURCE, site.vault.seal(body.value))
    site.audit.record(who.name, "source-secret-set", app, name=name)
    return Response(status_code=204)


@router.delete("/{app}/source/{name}", status_code=204)
def remove_source_secret(app: AppName, name: str, site: Here, who: Who) -> Response:
    """Forget one of them."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    if name not in SOURCE_SECRETS or not SealedSecrets(site.database).remove(app, name, Purpose.SOURCE):
        raise UsageError("no-such-source-secret", name[:40], f"{app} has none of this name")
    site.audit.record(who.name, "source-secret-removed", app, name=name)
    return Response(status_code=204)


@router.get("/{app}/secrets")
def list_secrets(app: AppName, site: Here, who: Who) -> list[SecretView]:
    """The names of its secrets."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    return SecretView.listed(SealedSecrets(site.database).all(app))


@router.patch("/{app}/secrets", status_code=202)
def change_app_secrets(app: AppName, body: SecretsChange, site: Here, who: Who) -> Accepted | None:
    """Set secrets, several at once; null forgets one. Those for running make a release of the live one, unless `deploy`
    is false or none is live."""
    who.need(Scope.DEPLOY, app)
    return _change(site, who, app, Purpose(body.purpose), body.values, deploy=body.deploy)


@router.put("/{app}/secrets/{name}", status_code=202)
def set_secret(app: AppName, name: SecretInPath, body: OneSecret, site: Here, who: Who) -> Accepted | None:
    """Set a secret. For builds `RUN --mount=type=secret,id=NAME` has it as a file, and nothing else ever does; for
    running the containers have it as a variable or a file, which makes a release as a change of
    the environment does."""
    who.need(Scope.DEPLOY, app)
    return _change(site, who, app, Purpose(body.purpose), {name: body}, deploy=body.deploy)


@router.delete("/{app}/secrets/{name}", status_code=202)
def remove_secret(
    app: AppName, name: SecretInPath, site: Here, who: Who, purpose: SecretFor | None = None, deploy: bool = True
) -> Accepted | None:
    """Forget a secret; `purpose` need be said only where there is one of each."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    return _change(site, who, app, purpose_of(app, name, purpose, site.database), {name: None}, deploy=deploy)


def _change(
    site: Site, who: Caller, app: str, purpose: Purpose, values: Mapping[str, SecretBody | None], *, deploy: bool
) -> Accepted | None:
    known = site.intake.app(app)
    new = {name: NewSecret(value=said.value, path=said.path) if said else None for name, said in values.items()}
    change_secrets(app, purpose, new, site.database, site.vault)
    for action, names in (
        ("secret-set", [name for name, said in values.items() if said]),
        ("secret-removed", [name for name, said in values.items() if not said]),
    ):
        for name in names:
            site.audit.record(who.name, action, app, name=name, purpose=purpose.value)
    if purpose is not Purpose.RUN or not deploy or Releases(site.database).live(app) is None:
        return None
    accepted = site.intake.rerelease(known, None, Origin(way="api", actor=who.name), note="secrets changed")
    return Accepted(**accepted_body(site, accepted))


@router.get("/{app}/releases")
def list_releases(app: AppName, site: Here, who: Who) -> list[ReleaseView]:
    """Its releases, newest first."""
    who.need(Scope.BUILD, app)
    site.intake.app(app)
    return [ReleaseView.of(release) for release in Releases(site.database).of(app)]


@router.get("/{app}/releases/{number}")
def show_release(app: AppName, number: Number, site: Here, who: Who) -> ReleaseView:
    """One release, with its deploy report."""
    who.need(Scope.BUILD, app)
    found = Releases(site.database).find(app, number)
    if found is None:
        raise UsageError("no-such-release", app, f"there is no release {number} of it")
    return ReleaseView.of(found, whole=True)


@router.post("/{app}/rollback", status_code=202, response_model=Accepted)
def rollback(app: AppName, body: Rollback, request: Request, site: Here, who: Who) -> JSONResponse:
    """Run an earlier release again, as a new one; it is queued like a build, and followed like one."""
    who.need(Scope.DEPLOY, app)

    def make(call: DeliveryKey | None) -> dict[str, Any]:
        known = site.intake.app(app)
        origin = Origin(way="rollback", actor=who.name, delivery=call)
        accepted = site.intake.rerelease(known, body.release, origin)
        site.audit.record(who.name, "rollback", app, release=body.release)
        return accepted_body(site, accepted)

    return once(request, site, who, body.model_dump_json(), make, 202)


@router.get("/{app}/status")
def status(app: AppName, site: Here, who: Who) -> dict[str, Any]:
    """How it runs: its replicas, what the balancer counted, and how its other processes run."""
    who.need(Scope.BUILD, app)
    site.intake.app(app)
    web = site.controller.deployment(NAMESPACE, app)
    counters = dataclasses.asdict(site.controller.counters(NAMESPACE, app))
    others = {
        status.component: dataclasses.asdict(status)
        for status in site.controller.deployments(NAMESPACE)
        if status.app == app and status.name != app and not status.deleting
    }
    return {**dataclasses.asdict(web), "counters": counters, "processes": others}


@router.post("/{app}/scale", status_code=202)
def scale(app: AppName, body: Scale, site: Here, who: Who) -> dict[str, int]:
    """Run so many replicas of a process from now on."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    operations.scale(app, {body.process: body.replicas}, site.home, site.database, site.controller)
    site.audit.record(who.name, "scaled", app, process=body.process, replicas=body.replicas)
    return {"replicas": body.replicas}


@router.post("/{app}/restart", status_code=202)
def restart(app: AppName, site: Here, who: Who) -> dict[str, str]:
    """Replace the replicas of every process one by one."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    operations.restart(app, site.home, site.controller)
    site.audit.record(who.name, "restarted", app)
    return {"status": "restarting"}


@router.get(
    "/{app}/logs",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def logs(
    app: AppName,
    request: Request,
    site: Here,
    who: Who,
    follow: bool = False,
    tail: Annotated[int | None, Query(ge=0, le=100_000)] = None,
    process: Annotated[str | None, Query(pattern=r"^[a-z][-a-z0-9]*$", max_length=40)] = None,
) -> StreamingResponse:
    """What its replicas wrote, of one process or of all, one JSON object a line."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    # Each reader has a thread while it waits for the next line, and the other routes need theirs.
    if not READERS.acquire(blocking=False):
        raise TooOften("logs", 10.0)
    READERS.release()
    names = (deployment_name(app, process),) if process else operations.running(app, site.controller)
    lines = site.controller.log_beats(NAMESPACE, *names, follow=follow, tail=tail)
    # An error is answered as one, not in the middle of a stream; a follower may wait long for the first line.
    first = None if follow else next(lines, None)

    async def stream() -> AsyncIterator[str]:
        # Taken here: of a client that is gone before it was answered, the generator never starts, nor ends.
        if not READERS.acquire(blocking=False):
            return
        try:
            if first is not None:
                yield json.dumps(dataclasses.asdict(first)) + "\n"
            async for line in iterate_in_threadpool(lines):
                if line is not None:
                    yield json.dumps(dataclasses.asdict(line)) + "\n"
                elif await request.is_disconnected():
                    return  # an app may write nothing for days, and who has left would hold a place for as long
        finally:
            READERS.release()
            lines.close()

    return StreamingResponse(stream(), media_type="application/x-ndjson")


def _view(site: Site, app: App) -> AppView:
    return AppView.of(app, site.settings.url(f"{app.name}.{site.settings.host_suffix}"))

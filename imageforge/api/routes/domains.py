"""Domains of apps, and the answers that an ACME authority asks for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from imageforge.api.auth import Here, Who
from imageforge.api.schemas import DomainView, Name
from imageforge.api.site import Site
from imageforge.entry.standing import standings
from imageforge.pipeline.domains import add_domain, remove_domain
from imageforge.store import Domain, Domains, Scope

router = APIRouter(tags=["domains"])
AppName = Annotated[Name, Path()]
DomainName = Annotated[str, Path(min_length=1, max_length=300, description="Such as `www.example.org`.")]


@router.get("/v1/apps/{app}/domains")
def list_domains(app: AppName, site: Here, who: Who) -> list[DomainView]:
    """Its domains, and how their certificates stand."""
    who.need(Scope.BUILD, app)
    site.intake.app(app)
    return _views(site, Domains(site.database).of(app))


@router.put(
    "/v1/apps/{app}/domains/{domain}",
    response_model=DomainView,
    responses={201: {"description": "It was added.", "model": DomainView}},
)
def set_domain(app: AppName, domain: DomainName, site: Here, who: Who) -> JSONResponse:
    """Have a domain lead to the app, at once and without replacing a replica. It stays over deploys and rollbacks."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    found, new = add_domain(
        app, domain, home=site.home, settings=site.settings, database=site.database, controller=site.controller
    )
    if new:
        site.audit.record(who.name, "domain-added", app, domain=found.name)
        site.certificates.wake()
    (view,) = _views(site, (found,))
    return JSONResponse(view.model_dump(), 201 if new else 200)


@router.delete("/v1/apps/{app}/domains/{domain}", status_code=204)
def delete_domain(app: AppName, domain: DomainName, site: Here, who: Who) -> Response:
    """Have it lead to the app no longer; a certificate that was got for it is dropped."""
    who.need(Scope.DEPLOY, app)
    site.intake.app(app)
    gone = remove_domain(
        app, domain, home=site.home, settings=site.settings, database=site.database, controller=site.controller
    )
    site.audit.record(who.name, "domain-removed", app, domain=gone.name)
    site.certificates.wake()
    return Response(status_code=204)


@router.get("/.well-known/acme-challenge/{token}", include_in_schema=False)
def challenge(token: str, site: Here) -> Response:
    """What proves to an authority that a name leads here (RFC 8555, 8.3). Needs no token: it asks by plain HTTP."""
    answer = site.certificates.challenges.answer(token)
    return PlainTextResponse(answer) if answer else PlainTextResponse("no such challenge\n", 404)


def _views(site: Site, domains: tuple[Domain, ...]) -> list[DomainView]:
    found = standings((domain.name for domain in domains), site.home, site.settings)
    return [
        DomainView.of(domain, standing, site.settings.url(domain.name))
        for domain, standing in zip(domains, found, strict=True)
    ]

"""The application: routes over one instance."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from builders import Endpoint
from imageforge import __version__
from imageforge.api import document, problems
from imageforge.api.body_limit import BodyLimit
from imageforge.api.entry import Entry
from imageforge.api.feed import Feeds
from imageforge.api.headers import SecurityHeaders
from imageforge.api.limiter import Limiter
from imageforge.api.recent import Recent
from imageforge.api.routes import (
    apps,
    builds,
    deployments,
    docs,
    domains,
    git,
    health,
    hooks,
    objects,
    registry,
    tokens,
    webhooks,
)
from imageforge.api.site import Site, working_parts
from imageforge.config import Home, Settings
from imageforge.entry.keeper import CertificateKeeper
from imageforge.entry.key import entry_key
from imageforge.entry.registry_token import Signer
from imageforge.errors import ForgeError
from imageforge.git_remote.repository import tip
from imageforge.notify.courier import Courier
from imageforge.pipeline.trials import clear_trials
from imageforge.queue.catch_up import CatchUp
from imageforge.queue.intake import Intake
from imageforge.queue.sweeper import Sweeper
from imageforge.queue.wake import Waker
from imageforge.stack.state import read_report
from imageforge.stack.tidy import end_interrupted
from imageforge.store import Database
from imageforge.vault import Vault
from runtime import ControllerClient

log = logging.getLogger(__name__)


def create_app(home: Home, settings: Settings) -> FastAPI:
    """The API of a home. Its store is opened here, its threads run between start-up and shutdown."""
    home.prepare()
    database = Database.at(home.store)
    waker = Waker(home.redis_socket)
    site = Site(
        home=home,
        settings=settings,
        database=database,
        waker=waker,
        intake=Intake(home, settings, database, waker),
        vault=Vault(home.key_file),
        feeds=Feeds(database, waker),
        failures=Limiter(rate=1.0, burst=30),
        calls=Limiter(rate=100.0, burst=500),
        signer=Signer(home.registry_signer) if settings.public else None,
        certificates=CertificateKeeper(home, settings, database),
        parts=Recent(partial(working_parts, database, waker, ControllerClient(home.controller_socket))),
    )
    sweeper = Sweeper(home, settings, database, site.intake, waker, partial(tip, home))
    catch_up = CatchUp(home, settings, database, site.intake)

    courier = Courier(settings, database, site.vault)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Elsewhere, for it waits for the registry; and a registry that does not come back is no reason not to serve.
        threading.Thread(target=_end_interrupted, args=(home, settings), name="tidy", daemon=True).start()
        site.feeds.start()
        sweeper.start()
        catch_up.start()
        site.certificates.start()
        courier.start()
        try:
            yield
        finally:
            await site.feeds.close()
            site.certificates.close()
            catch_up.close()
            courier.close()
            sweeper.close()
            waker.close()
            database.close()

    app = FastAPI(
        title="imageforge",
        version=__version__,
        description="A push becomes a running, load-balanced application on a machine you own.",
        lifespan=lifespan,
        docs_url=None,  # ours is in routes/docs.py
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.site = site
    app.state.sweeper = sweeper
    app.state.courier = courier
    problems.install(app)
    document.install(app)
    app.include_router(health.router)
    app.include_router(docs.router)
    for routes in (apps, domains, builds, objects, deployments, webhooks, hooks, tokens, registry, git):
        app.include_router(routes.router, responses=problems.RESPONSES)

    app.add_middleware(BodyLimit)
    app.add_middleware(Entry, key=entry_key(home.entry_key_file), url=settings.service_url)
    app.add_middleware(SecurityHeaders)
    return app


def _end_interrupted(home: Home, settings: Settings) -> None:
    try:
        end_interrupted(home, settings)
    except ForgeError as error:
        log.warning("the registry takes no pushes: %s", error)
    report = read_report(home)
    if report is not None:
        clear_trials(home, Endpoint(host=report.engine, origin=report.engine_origin))

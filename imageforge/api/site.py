"""What the routes work with: one instance, opened once."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from imageforge.api.feed import Feeds
from imageforge.api.limiter import Limiter
from imageforge.api.recent import Recent
from imageforge.config import Home, Settings
from imageforge.entry.keeper import CertificateKeeper
from imageforge.entry.registry_token import Signer
from imageforge.errors import ForgeError
from imageforge.queue.intake import Intake
from imageforge.queue.wake import Waker
from imageforge.store import Audit, Builds, Database
from imageforge.vault import Vault
from runtime import ControllerClient, RuntimeFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """One instance."""

    home: Home
    settings: Settings
    database: Database
    waker: Waker
    intake: Intake
    vault: Vault
    feeds: Feeds
    failures: Limiter
    calls: Limiter
    signer: Signer | None
    certificates: CertificateKeeper
    parts: Recent[dict[str, bool]]

    @property
    def controller(self) -> ControllerClient:
        """The controller; whether it answers is found out by asking it."""
        return ControllerClient(self.home.controller_socket)

    @property
    def audit(self) -> Audit:
        """The audit log."""
        return Audit(self.database)


def working_parts(database: Database, waker: Waker, controller: ControllerClient) -> dict[str, bool]:
    """Which parts answer, of those that a push needs. Each is asked."""
    parts: dict[str, bool] = {}
    try:
        Builds(database).counts()
        parts["store"] = True
    except ForgeError:
        parts["store"] = False
    parts["queue"] = waker.pending() is not None
    try:
        info = controller.info()
        parts["engine"], parts["balancer"] = info.engine_ok, info.balancer_ok
    except RuntimeFailure:
        parts["controller"] = False
    return parts


def site_of(request: Request) -> Site:
    """The instance that a request is for; a dependency of the routes."""
    site: Site = request.app.state.site
    return site

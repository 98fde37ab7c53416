"""What the routes work with: one instance, opened once."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from imageforge.api.feed import Feeds
from imageforge.api.limiter import Limiter
from imageforge.config import Home, Settings
from imageforge.entry.keeper import CertificateKeeper
from imageforge.entry.registry_token import Signer
from imageforge.queue.intake import Intake
from imageforge.queue.wake import Waker
from imageforge.store import Audit, Database
from imageforge.vault import Vault
from runtime import ControllerClient


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

    @property
    def controller(self) -> ControllerClient:
        """The controller; whether it answers is found out by asking it."""
        return ControllerClient(self.home.controller_socket)

    @property
    def audit(self) -> Audit:
        """The audit log."""
        return Audit(self.database)


def site_of(request: Request) -> Site:
    """The instance that a request is for; a dependency of the routes."""
    site: Site = request.app.state.site
    return site

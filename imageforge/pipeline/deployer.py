"""What a deploy works with."""

from __future__ import annotations

from dataclasses import dataclass

from imageforge.config import Home, Settings
from imageforge.store import Database
from imageforge.vault import Vault
from runtime import ControllerClient


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployer:
    """What a deploy works with."""

    home: Home
    settings: Settings
    database: Database
    controller: ControllerClient

    @property
    def vault(self) -> Vault:
        """What opens the secrets."""
        return Vault(self.home.key_file)

    def host(self, app: str) -> str:
        """The name under which the balancer serves an app."""
        return f"{app}.{self.settings.host_suffix}"

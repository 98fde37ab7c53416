"""One replica as the controller drives it: a container, its probes, its place in the balancer, its restarts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from runtime.manifest.model import Deployment
from runtime.probes import Prober
from runtime.restart import Backoff
from runtime.store import StoredReplica

LAST_LINES = 20
"""How much of an ended container's output is kept for its status."""


class Life(StrEnum):
    """Where a replica is in its life."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    STOPPING = "stopping"


@dataclass(slots=True)
class Replica:
    """The controller's own, mutable record; guarded by the controller's lock."""

    stored: StoredReplica
    deployment: Deployment
    life: Life = Life.NEW
    container_id: str = ""
    address: str = ""
    pid: int = 0
    started_at: float = 0.0
    ready: bool = False
    ready_since: float = 0.0
    next_start_at: float = 0.0
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    last_log: tuple[str, ...] = field(default=())
    prober: Prober | None = None

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.stored.name

    @property
    def stopping(self) -> bool:
        """Whether it is on its way out."""
        return self.stored.stopping

    @property
    def backoff(self) -> Backoff:
        """Its restarts."""
        return self.stored.backoff

    def change(self, **values: Any) -> None:
        """Change what is stored of it; the caller stores it."""
        self.stored = replace(self.stored, **values)

    @property
    def phase(self) -> str:
        """Kubernetes' word for its state."""
        if self.stopping:
            return "Terminating"
        if self.life is Life.ENDED:
            return self.reason or ("CrashLoopBackOff" if self.backoff.delay else "Error")
        if self.life is Life.RUNNING:
            return "Ready" if self.ready else "Running"
        return self.reason or "Pending"

"""The machine that the replicas share, as the engine tells of it, and what it was seen not to allow."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace

from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.resources import Machine

_REFUSED = "oom_score_adj"
"""What the engine names where the kernel refuses one."""
KEPT_SECONDS = 60.0
"""A machine seldom changes, and the engine takes a while to tell."""


class Host:
    """For many threads. `labels` are those of the settings, beside the ones that every node has."""

    def __init__(self, engine: Engine, labels: Mapping[str, str]) -> None:
        self._engine = engine
        self._labels = labels
        self._lock = threading.Lock()
        self._known: Machine | None = None
        self._known_at = 0.0
        self.lowest_oom_score_adj = -1000
        """Lower ones the kernel refused: that takes CAP_SYS_RESOURCE, which not every root has."""

    def was_too_low(self, error: EngineError) -> bool:
        """Whether a container did not start for its oom_score_adj, which is then raised for it and all others."""
        with self._lock:
            if _REFUSED not in error.message or self.lowest_oom_score_adj >= 0:
                return False
            self.lowest_oom_score_adj = 0
            return True

    def machine(self) -> Machine:
        """Its size and labels. Raises EngineError."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known_at > KEPT_SECONDS:
                found = self._engine.machine()
                self._known = replace(found, labels={**found.labels, **self._labels})
                self._known_at = time.monotonic()
            return self._known

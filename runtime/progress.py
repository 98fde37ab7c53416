"""Whether a rollout moves: Kubernetes' progress deadline (pkg/controller/deployment/progress.go), in memory."""

from __future__ import annotations

import time


class ProgressClock:
    """When each Deployment last came closer to what is wanted."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[tuple[int, int, int], float]] = {}

    def restart(self, key: tuple[str, str]) -> None:
        """Something new is wanted: the deadline counts from now."""
        self._seen.pop(key, None)

    def since(self, key: tuple[str, str], *, updated: int, old: int, available: int) -> float:
        """Seconds since the last progress: more updated or available replicas, or fewer old ones."""
        now = time.monotonic()
        marks = (updated, -old, available)
        best, at = self._seen.get(key, ((-1, -1_000_000, -1), now))
        if any(mark > known for mark, known in zip(marks, best, strict=True)):
            best = (max(marks[0], best[0]), max(marks[1], best[1]), max(marks[2], best[2]))
            at = now
        self._seen[key] = (best, at)
        return now - at

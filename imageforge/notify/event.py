"""What there is to tell of a build, as a document; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from imageforge.store import Build, BuildStatus, Release

EVENTS: Mapping[BuildStatus, str] = {
    BuildStatus.QUEUED: "build.queued",
    BuildStatus.RUNNING: "build.started",
    BuildStatus.SUCCEEDED: "build.succeeded",
    BuildStatus.REFUSED: "build.refused",
    BuildStatus.FAILED: "build.failed",
    BuildStatus.CANCELLED: "build.cancelled",
    BuildStatus.SUPERSEDED: "build.superseded",
}
"""The types of events. A build that is held is nobody's business yet."""


def document(build: Build, release: Release | None, *, event: str, url: str, now: float) -> dict[str, Any]:
    """What a hook is sent: type, time and data, as Standard Webhooks recommends. `url` is the build's."""
    return {
        "type": event,
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "build": build.id,
            "app": build.app,
            "status": build.status.value,
            "origin": build.origin,
            "actor": build.actor,
            "branch": build.branch,
            "revision": build.revision,
            "message": build.message,
            "url": url,
            "image": build.reference,
            "release": build.release,
            "reused_from": build.reused_from,
            "superseded_by": build.superseded_by,
            "error": dict(build.error) if build.error else None,
            "report": _report(build, release),
        },
    }


def _report(build: Build, release: Release | None) -> dict[str, Any] | None:
    if release is None or build.status is not BuildStatus.SUCCEEDED:
        return None
    known = release.report or {}
    wanted = ("url", "desired", "ready", "requests", "failed", "retried", "slowest_ms", "rollout_seconds")
    return {key: known[key] for key in wanted if key in known} or None

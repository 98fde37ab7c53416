"""Sizes, times and ages as people read them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime import ReplicaStatus

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def megabytes(size: int, *, unit: bool = True) -> str:
    """A size in bytes as decimal megabytes, as `docker images` counts: `182 MB`, `3.4 MB`, `0.02 MB`; what would be
    0.00 MB in kilobytes."""
    if unit and 0 < size < 10_000:
        return f"{size / 1e3:.1f} kB"
    value = size / 1e6
    digits = 0 if value >= 10 or size == 0 else 1 if value >= 0.1 else 2
    text = f"{value:.{digits}f}"
    return f"{text} MB" if unit else text


def seconds(duration: float) -> str:
    """`0.4 s`, `75 s`."""
    return f"{duration:.1f} s" if duration < MINUTE else f"{duration:.0f} s"


def replica_age(replica: ReplicaStatus, now: float) -> str | None:
    """Since it was made, as kubectl has it; of a controller of a version before, since its container began."""
    since = replica.created_at or replica.started_at
    return age(now - since) if since else None


def age(duration: float) -> str:
    """A time ago, in its largest unit: `12s`, `5m`, `3h`, `9d`, as kubectl writes it."""
    if duration < MINUTE:
        return f"{max(0, duration):.0f}s"
    if duration < HOUR:
        return f"{duration / MINUTE:.0f}m"
    if duration < DAY:
        return f"{duration / HOUR:.0f}h"
    return f"{duration / DAY:.0f}d"


def counted(count: int, noun: str) -> str:
    """`1 replica`, `2 replicas`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def moment(at: float, now: float) -> str:
    """A time for people, in this machine's zone: `2026-11-27 06:20:02+00:00, 5m ago`."""
    said = datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds")
    return f"{said}, {age(now - at)} ago"

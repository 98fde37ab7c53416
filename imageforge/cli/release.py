"""A release that is asked for by number, or is not there."""

from __future__ import annotations

from imageforge.cli.report import no_release
from imageforge.store import Release


def require(release: Release | None, app: str, number: int | None) -> Release:
    """The release, or UsageError (`no-such-release`)."""
    if release is None:
        raise no_release(app, number)
    return release

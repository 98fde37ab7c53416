"""The version of the distribution that this package comes with."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Such as ``0.1.0``; ``unknown`` when run from a source tree that is not installed."""
    try:
        return metadata.version("imageforge")
    except metadata.PackageNotFoundError:
        return "unknown"

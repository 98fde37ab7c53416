"""Bytes in words."""

from __future__ import annotations


def megabytes(count: int) -> str:
    """``312 kB``, ``4.5 MB``, ``120 MB``: decimal, as engines and registries show sizes."""
    if count < 1_000_000:
        return f"{max(1, round(count / 1000))} kB"
    return f"{count / 1e6:.1f} MB" if count < 100_000_000 else f"{round(count / 1e6)} MB"

"""Whether a disk has room for what is to come; looked at before the first byte is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from registry.errors import StorageError


def require_room(folder: Path, needed: int, what: str) -> None:
    """Raises StorageError (`disk-full`) where `folder`, which need not exist yet, has less than `needed` bytes free for
    `what`."""
    free = shutil.disk_usage(standing(folder)).free
    if needed > free:
        raise StorageError(
            "disk-full",
            str(folder),
            f"{what} needs {_shown(needed)} there, and {_shown(free)} are free",
            hint="free some space, or name another folder",
            kept="nothing was written",
        )


def standing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that there is."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _shown(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"

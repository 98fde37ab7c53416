"""Whether a disk has room for what is to come; looked at before the first byte is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from builders.errors import DiskFull


def require_room(folder: Path, needed: int, what: str, *, kept: str = "nothing was written") -> None:
    """Raises DiskFull (`disk-full`) where `folder` has less than `needed` bytes free for `what`; `kept` is what it says
    of what is there."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(
            "disk-full",
            str(folder),
            f"{what} needs {_shown(needed)} there, and {_shown(free)} are free",
            hint="free some space, or name another folder",
            kept=kept,
        )


def _shown(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"

"""Removing a folder in which a program may have mounted something before it was killed."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from pathlib import Path

logger = logging.getLogger(__name__)

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def remove_tree(folder: Path) -> None:
    """Unmounts what is mounted below `folder` and removes it. Where something stays mounted nothing is removed, because
    it might be the host's own ``/dev``."""
    for mount in reversed(mounts_below(folder)):
        subprocess.run(["umount", "--lazy", str(mount)], capture_output=True, check=False, timeout=30)
    if left := mounts_below(folder):
        logger.warning("not removed, because something is mounted there: %s", ", ".join(map(str, left)))
        return
    shutil.rmtree(folder, ignore_errors=True)


def mounts_below(folder: Path, table: str | None = None) -> list[Path]:
    """The mount points below `folder`, outer ones first (proc(5), ``mountinfo``; `table` is its text)."""
    text = _MOUNTS.read_text() if table is None else table
    points = [Path(_unescaped(line.split(" ")[4])) for line in text.splitlines() if line.count(" ") > 4]
    real = folder.resolve()
    return sorted(point for point in points if point.is_relative_to(real))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)

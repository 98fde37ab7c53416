"""Whether one more build may start now: builds must not hurt the applications."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What is free, in bytes. None: it cannot be told on this system."""

    memory: int | None
    disk: int | None

    @classmethod
    def look(cls, folder: Path, meminfo: Path = MEMINFO) -> Room:
        """What is free now, on the disk that holds `folder`."""
        try:
            disk: int | None = shutil.disk_usage(folder).free
        except OSError:
            disk = None
        return cls(memory=_available(meminfo), disk=disk)


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What must be free for a build to start, in bytes."""

    memory: int
    disk: int


def obstacle(room: Room, needs: Needs, *, running: int) -> str | None:
    """Why no further build may start now, in words that stay the same while the reason does; None where it may.

    Memory holds back only what would run beside another build: one that is alone would wait for ever on a small
    machine.
    """
    if room.disk is not None and room.disk < needs.disk:
        return f"less than {needs.disk // MIB} MiB of disk are free"
    if running and room.memory is not None and room.memory < needs.memory:
        return f"less than {needs.memory // MIB} MiB of memory are free beside the builds that run"
    return None


def _available(meminfo: Path) -> int | None:
    try:
        fields: Mapping[str, str] = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return None

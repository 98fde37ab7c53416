"""What processes have had of the processors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def tree(pid: int) -> list[int]:
    """A process and those that it started."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def processor_seconds(pids: Iterable[int]) -> float:
    """Of all their threads together, in user mode and in the kernel; counted in hundredths."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")

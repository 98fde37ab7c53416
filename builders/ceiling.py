"""How much memory and CPU the steps of a build may take, all builds of an engine together.

BuildKit inside of Docker ignores `--memory` and `--cgroup-parent`; its steps run below the control group
``docker/buildkit``, whose limits the kernel holds for whatever is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
GROUP = "docker/buildkit"
PERIOD = 100_000
"""Microseconds of the CPU's accounting period, the kernel's default."""
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceiling:
    """A control group that can be limited. `memory` and `cpu` are its folders; one and the same with cgroup v2."""

    memory: Path
    cpu: Path
    unified: bool

    def set(self, *, memory: int, cpus: float) -> None:
        """Allow so many bytes and so many CPUs. Raises OSError."""
        quota = round(cpus * PERIOD)
        if self.unified:
            (self.memory / "memory.max").write_text(str(memory))
            (self.cpu / "cpu.max").write_text(f"{quota} {PERIOD}")
            return
        (self.memory / "memory.limit_in_bytes").write_text(str(memory))
        (self.cpu / "cpu.cfs_quota_us").write_text(str(quota))

    @property
    def hits(self) -> int:
        """How often the limit of memory was hit: processes that the kernel ended for it; with cgroup v1, where such a
        count goes with each step's own group, times that memory was refused and had to be found."""
        try:
            if self.unified:
                found = _KILLS.search((self.memory / "memory.events").read_text())
                return int(found[1]) if found else 0
            return int((self.memory / "memory.failcnt").read_text())
        except (OSError, ValueError):
            return 0


def find_ceiling(host: str, root: Path = CONTROL_GROUPS) -> Ceiling | str:
    """The control group of the engine at `host`; a text that says why there is none that can be limited."""
    if not host.startswith("unix://"):
        return "the engine is on another machine"
    unified = (root / "cgroup.controllers").exists()
    memory, cpu = (root / GROUP, root / GROUP) if unified else (root / "memory" / GROUP, root / "cpu" / GROUP)
    if not memory.parent.is_dir():
        return f"the engine does not use {memory.parent}"
    try:
        for folder in (memory, cpu):
            folder.mkdir(exist_ok=True)
            # Limits must be there before the first step is, which BuildKit puts below.
            probe = folder / "cgroup.procs"
            if root == CONTROL_GROUPS and not probe.exists():
                return f"{folder} is no control group"
        limit = memory / ("memory.max" if unified else "memory.limit_in_bytes")
        limit.write_text(limit.read_text().strip())
    except OSError as error:
        return f"{error.filename or memory} cannot be written: {error.strerror}"
    return Ceiling(memory=memory, cpu=cpu, unified=unified)

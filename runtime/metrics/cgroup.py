"""What a container has used, read from the kernel's own files: both versions of cgroups.

The engine's statistics take a second for each container; these files take microseconds. The working set is what
Kubernetes shows and acts on: all memory but the file pages that nobody has touched lately.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """CPU in nanoseconds since the container began, and its working set in bytes."""

    cpu: int
    memory: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Files:
    cpu: Path
    memory: Path
    stat: Path
    second: bool

    def read(self) -> Usage:
        cpu, memory = self.cpu.read_bytes(), int(self.memory.read_bytes())
        idle = _field(self.stat.read_bytes(), b"inactive_file" if self.second else b"total_inactive_file")
        used = _field(cpu, b"usage_usec") * 1000 if self.second else int(cpu)
        return Usage(cpu=used, memory=max(0, memory - idle))


class Cgroups:
    """Where the containers' files are, found by way of a process in them and remembered. `proc` is the kernel's."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._mounts: Mapping[str, tuple[str, Path]] | None = None
        self._known: dict[str, _Files] = {}

    def usage(self, container_id: str, pid: int) -> Usage | None:
        """None where it cannot be read: the container has ended, or is not of this machine."""
        with contextlib.suppress(OSError, ValueError):
            files = self._known.get(container_id) or self._find(pid)
            if files is not None:
                found = files.read()
                self._known[container_id] = files
                return found
        self._known.pop(container_id, None)
        return None

    def keep(self, container_ids: Collection[str]) -> None:
        """Forget all others."""
        self._known = {key: files for key, files in self._known.items() if key in container_ids}

    def _find(self, pid: int) -> _Files | None:
        if not pid:
            return None
        places = parse_places((self._proc / str(pid) / "cgroup").read_text())
        if self._mounts is None:
            self._mounts = parse_mounts((self._proc / "self" / "mountinfo").read_text())
        if "memory" in places:
            cpu, memory = self._folder(places, "cpuacct"), self._folder(places, "memory")
            if cpu is None or memory is None:
                return None
            return _Files(
                cpu=cpu / "cpuacct.usage",
                memory=memory / "memory.usage_in_bytes",
                stat=memory / "memory.stat",
                second=False,
            )
        folder = self._folder(places, "")
        if folder is None:
            return None
        return _Files(
            cpu=folder / "cpu.stat", memory=folder / "memory.current", stat=folder / "memory.stat", second=True
        )

    def _folder(self, places: Mapping[str, str], controller: str) -> Path | None:
        """Where a cgroup is mounted; None where it is outside of what this process sees."""
        assert self._mounts is not None
        mount, place = self._mounts.get(controller), places.get(controller)
        if mount is None or place is None:
            return None
        root, point = mount
        if root != "/":
            if place != root and not place.startswith(f"{root}/"):
                return None
            place = place[len(root) :]
        return point / place.lstrip("/")


def parse_places(text: str) -> dict[str, str]:
    """``/proc/PID/cgroup``: the path by controller; that of version 2 by the empty name."""
    found = {}
    for line in text.splitlines():
        number, controllers, place = line.split(":", 2)
        if number == "0" and not controllers:
            found[""] = place
            continue
        found |= dict.fromkeys(controllers.split(","), place)
    return found


def parse_mounts(text: str) -> dict[str, tuple[str, Path]]:
    """``/proc/self/mountinfo``: (root, where it is mounted) by controller; that of version 2 by the empty name."""
    found: dict[str, tuple[str, Path]] = {}
    for line in text.splitlines():
        words = line.split()
        rest = words[words.index("-") + 1 :]
        place = (_unescaped(words[3]), Path(_unescaped(words[4])))
        if rest[0] == "cgroup2":
            found.setdefault("", place)
        elif rest[0] == "cgroup":
            for controller in rest[2].split(","):
                found.setdefault(controller, place)
    return found


def _unescaped(word: str) -> str:
    """The kernel writes spaces in octal."""
    return word.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _field(text: bytes, name: bytes) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0

"""The control group of a pod that has limits as a whole: all of its containers are made below it, and the kernel holds
it whatever they do.

With the driver ``cgroupfs`` the group is made here, beside those of other containers, so that its weight is one among
theirs; with ``systemd`` it is a slice, which systemd is told of. Either way what the kernel then says is read again:
limits that it does not have are none. After the kubelet (pkg/kubelet/cm/helpers_linux.go, ResourceConfigForPod).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigError
from runtime.machine import peer
from runtime.manifest.model import PodTemplate
from runtime.metrics.cgroup import parse_mounts
from runtime.resources import CPU_PERIOD, Machine, PodLimits, pod_limits

log = logging.getLogger(__name__)

PARENT = "docker"
"""Where the engine puts its containers, with the driver cgroupfs."""
SLICE_PARENT = "system"
"""The same with systemd."""
PAGE = 4096
_CONTROL = Path("/run/systemd/system.control")
"""Where systemd keeps what it was told of units until the machine is started anew."""
_SYSTEMCTL_SECONDS = 30.0
_LEAST_SHARES, _MOST_SHARES, _MOST_WEIGHT = 2, 262_144, 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A file of the kernel's and what it is to hold; one that need not be there is `optional`."""

    controller: str
    file: str
    text: str
    optional: bool = False


def weight(shares: int) -> int:
    """The weight of cgroup v2 for shares of v1, as runc has it."""
    return 1 + (shares - _LEAST_SHARES) * (_MOST_WEIGHT - 1) // (_MOST_SHARES - _LEAST_SHARES)


def settings(said: PodLimits, *, unified: bool) -> tuple[Setting, ...]:
    """What the files of a pod's group are to hold, in the order in which they are written."""
    found = []
    if said.memory is not None:
        most, swap = (
            ("memory.max", "memory.swap.max") if unified else ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        )
        found.append(Setting(controller="memory", file=most, text=str(said.memory)))
        # No swap: of v1 the figure is of both together.
        found.append(Setting(controller="memory", file=swap, text="0" if unified else str(said.memory), optional=True))
    if said.cpu_shares is not None:
        file, text = ("cpu.weight", weight(said.cpu_shares)) if unified else ("cpu.shares", said.cpu_shares)
        found.append(Setting(controller="cpu", file=file, text=str(text)))
    if said.cpu_quota is not None and unified:
        found.append(Setting(controller="cpu", file="cpu.max", text=f"{said.cpu_quota} {CPU_PERIOD}"))
    elif said.cpu_quota is not None:
        found.append(Setting(controller="cpu", file="cpu.cfs_period_us", text=str(CPU_PERIOD)))
        found.append(Setting(controller="cpu", file="cpu.cfs_quota_us", text=str(said.cpu_quota)))
    if said.pids is not None:
        found.append(Setting(controller="pids", file="pids.max", text=str(said.pids)))
    return tuple(found)


def properties(said: PodLimits, *, unified: bool) -> tuple[str, ...]:
    """The same in systemd's words, which makes other shares of a weight than it was made of."""
    found = []
    if said.memory is not None:
        found += [f"MemoryMax={said.memory}", "MemorySwapMax=0"]
    if said.cpu_shares is not None:
        found.append(f"CPUWeight={weight(said.cpu_shares)}" if unified else f"CPUShares={said.cpu_shares}")
    if said.cpu_quota is not None:
        found.append(f"CPUQuota={said.cpu_quota * 100 / CPU_PERIOD:g}%")
    if said.pids is not None:
        found.append(f"TasksMax={said.pids}")
    return tuple(found)


def differs(said: Setting, found: str) -> bool:
    """Whether the kernel holds something else: it keeps memory in pages, and pads nothing."""
    held = found.strip()
    if said.controller == "memory" and said.text.isdigit() and held.isdigit():
        return int(held) // PAGE != int(said.text) // PAGE
    return held != said.text


def _mounts() -> Mapping[str, tuple[str, Path]]:
    return parse_mounts(Path("/proc/self/mountinfo").read_text())


class PodGroups:
    """Those of one instance's replicas, for containers of the engine at `engine`. `machine` is asked once it is needed;
    raises EngineError."""

    def __init__(
        self,
        instance: str,
        engine: str,
        machine: Callable[[], Machine],
        mounts: Callable[[], Mapping[str, tuple[str, Path]]] = _mounts,
    ) -> None:
        self._instance = instance
        self._engine = engine
        self._machine = machine
        self._mounts = mounts

    def ensure(self, template: PodTemplate, replica: str) -> str:
        """What the engine is told as the parent of the pod's containers, made and limited; empty where the pod has no
        limits as a whole. Raises ConfigError (`pod-limits-not-held`), EngineError."""
        said = pod_limits(template)
        if said is None:
            return ""
        try:
            self._refuse_elsewhere()
            machine = self._machine()
            if machine.cgroup_driver == "cgroupfs":
                return self._folder(replica, said, unified=machine.unified)
            if machine.cgroup_driver == "systemd":
                return self._slice(replica, said, unified=machine.unified)
            raise _NotHeldError(f"the engine has the cgroup driver {machine.cgroup_driver or 'of no name'}")
        except (_NotHeldError, OSError) as error:
            where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
            raise ConfigError(
                "pod-limits-not-held",
                replica,
                f"its spec.resources cannot be held: {where}{getattr(error, 'strerror', None) or error}",
                hint="run the service as root with an engine of this host, or give each container resources of its own",
            ) from error

    def remove(self, replica: str) -> None:
        """The pod is no more. What cannot be removed is swept when the next controller starts."""
        self._remove(lambda name: name == self._name(replica), lambda name: name == self._slice_name(replica))

    def sweep(self, replicas: Collection[str]) -> None:
        """Remove the groups of all replicas but these."""
        names, slices = {self._name(item) for item in replicas}, {self._slice_name(item) for item in replicas}
        self._remove(
            lambda name: name.startswith(self._name("")) and name not in names,
            lambda name: name.startswith(self._slice_start) and name not in slices,
        )

    def _name(self, replica: str) -> str:
        return f"imageforge-{self._instance}-{replica}"

    @property
    def _slice_start(self) -> str:
        return f"{SLICE_PARENT}-imageforge_{self._instance}_"

    def _slice_name(self, replica: str) -> str:
        """A hyphen would be a slice in a slice."""
        return f"{self._slice_start}{hashlib.sha256(replica.encode()).hexdigest()[:12]}.slice"

    def _refuse_elsewhere(self) -> None:
        if not (self._engine.startswith("unix://") and os.geteuid() == 0):
            raise _NotHeldError("only root, with an engine of this host, makes control groups")
        own, other = Path("/proc/self/ns/cgroup"), Path(f"/proc/{peer(self._engine)}/ns/cgroup")
        if own.readlink() != other.readlink():
            raise _NotHeldError("the engine has other control groups than this process")

    def _root(self, controller: str) -> Path:
        """Where the groups of a controller are; that of all of them in version 2 by the empty name."""
        found = self._mounts().get(controller)
        if found is None:
            raise _NotHeldError(f"this host has no cgroup controller {controller or 'of version 2'}")
        root, point = found
        if root != "/":
            raise _NotHeldError("this process sees but a part of the control groups")
        return point

    def _folder(self, replica: str, said: PodLimits, *, unified: bool) -> str:
        name = f"{PARENT}/{self._name(replica)}"
        wanted = settings(said, unified=unified)
        for controller in dict.fromkeys(setting.controller for setting in wanted):
            root = self._root("" if unified else controller)
            (root / PARENT).mkdir(exist_ok=True)
            if unified:
                _pass_on(root, controller)
                _pass_on(root / PARENT, controller)
            (root / name).mkdir(exist_ok=True)
        for setting in wanted:
            file = self._root("" if unified else setting.controller) / name / setting.file
            if setting.optional and not file.exists():
                continue
            if differs(setting, file.read_text()):
                file.write_text(setting.text)
        self._check(name, wanted, unified=unified)
        return f"/{name}"

    def _slice(self, replica: str, said: PodLimits, *, unified: bool) -> str:
        name = self._slice_name(replica)
        _systemctl("set-property", "--runtime", name, *properties(said, unified=unified))
        _systemctl("start", name)
        place = _systemctl("show", "--property=ControlGroup", "--value", name).strip().lstrip("/")
        # Of version 1, systemd has no limit for swap; each container has one of its own.
        wanted = [setting for setting in settings(said, unified=unified) if unified or not setting.optional]
        self._check(place, wanted, unified=unified)
        return name

    def _check(self, place: str, wanted: Collection[Setting], *, unified: bool) -> None:
        for setting in wanted:
            file = self._root("" if unified else setting.controller) / place / setting.file
            if setting.optional and not file.exists():
                continue
            found = file.read_text()
            if differs(setting, found):
                raise _NotHeldError(f"{setting.file} is {found.strip()}, and was set to {setting.text}")

    def _remove(self, is_folder: Callable[[str], bool], is_slice: Callable[[str], bool]) -> None:
        if not self._engine.startswith("unix://") or os.geteuid() != 0:
            return
        # The engine's runtime makes the group of every controller, not those alone that are limited.
        for _, point in set(self._mounts().values()):
            for folder in (point / PARENT).glob(f"{self._name('')}*"):
                if is_folder(folder.name):
                    try:
                        folder.rmdir()
                    except OSError as error:
                        log.warning("control group not removed", extra={"group": str(folder), "error": str(error)})
        for told in _CONTROL.glob(f"{self._slice_start}*.slice.d"):
            name = told.name.removesuffix(".d")
            if is_slice(name):
                with contextlib.suppress(_NotHeldError):
                    _systemctl("stop", name)
                    _systemctl("revert", name)


class _NotHeldError(Exception):
    """Why the kernel would not hold the limits."""


def _pass_on(folder: Path, controller: str) -> None:
    """Let the groups below have a controller (cgroup v2)."""
    file = folder / "cgroup.subtree_control"
    if controller not in file.read_text().split():
        file.write_text(f"+{controller}")


def _systemctl(*words: str) -> str:
    program = shutil.which("systemctl")
    if program is None:
        raise _NotHeldError("the engine has the cgroup driver systemd, and there is no systemctl here")
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, check=False, timeout=_SYSTEMCTL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise _NotHeldError(f"systemctl {words[0]} does not answer") from error
    if done.returncode:
        raise _NotHeldError(f"systemctl {words[0]}: {done.stderr.strip()}")
    return done.stdout

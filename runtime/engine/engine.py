"""The Docker Engine, as far as the runtime needs it.

Speaks to Engine 20.10 to 29: addresses are read per network and events by Action and Actor, for the older fields are
gone from API 1.52 on. The engine's own restart policy is never used: its back-off differs from Kubernetes'.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.engine.connection import UnlessGone
from runtime.engine.containers import Containers
from runtime.engine.executions import Executions
from runtime.engine.images import Images
from runtime.engine.networks import Networks
from runtime.engine.output import Outputs
from runtime.engine.volumes import Volumes
from runtime.resources import Amounts, Machine

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's words and Go's, where they differ."""


class Engine(Images, Networks, Volumes, Containers, Executions, Outputs):
    """One engine, for many threads. Connects with the first call, and again after it was lost."""

    def machine(self) -> Machine:
        """The size of the machine that the engine is on, and the labels that Kubernetes gives to every node."""
        with self.translated("info") as api:
            info = api.info()
        architecture = str(info["Architecture"])
        labels = {
            "kubernetes.io/hostname": str(info["Name"]),
            "kubernetes.io/os": str(info["OSType"]),
            "kubernetes.io/arch": ARCHITECTURES.get(architecture, architecture),
        }
        size = Amounts(cpu=int(info["NCPU"]) * 1000, memory=int(info["MemTotal"]), disk=self._disk(info))
        return Machine(
            size=size,
            labels=labels,
            cgroup_driver=str(info.get("CgroupDriver") or ""),
            unified=str(info.get("CgroupVersion")) == "2",
            apparmor=any("name=apparmor" in str(one).split(",") for one in info.get("SecurityOptions") or ()),
        )

    def _disk(self, info: Mapping[str, Any]) -> int:
        """The size of the disk that containers write to; 0 where the engine is elsewhere."""
        with contextlib.suppress(OSError):
            if self.host.startswith("unix://"):
                found = os.statvfs(str(info["DockerRootDir"]))
                return found.f_blocks * found.f_frsize
        return 0

    def places(self, container_ids: Sequence[str], volumes: Sequence[str]) -> tuple[dict[str, Path], dict[str, Path]]:
        """(where each container's writable layer is, where each volume is) on the engine's host, without those that are
        gone or of which it does not tell. Raises EngineError."""
        layers: dict[str, Path] = {}
        found: dict[str, Path] = {}
        for container_id in container_ids:
            with UnlessGone(), self.translated(container_id[:12]) as api:
                driver = api.inspect_container(container_id).get("GraphDriver") or {}
                if (driver.get("Data") or {}).get("UpperDir"):
                    layers[container_id] = Path(driver["Data"]["UpperDir"])
        for name in volumes:
            with UnlessGone(), self.translated(f"volume {name}") as api:
                found[name] = Path(api.inspect_volume(name)["Mountpoint"])
        return layers, found

"""What an engine is and what its BuildKit understands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builders.engine.connection import connect
from builders.engine.endpoint import Endpoint

# BuildKit's minor version in each engine, from the "Upgrade BuildKit to" lines of the engine's release notes
# (docs.docker.com/engine/release-notes) and the vendoring changes of moby/moby. An engine between two lines has the
# earlier one's at least.
_BUILDKIT_MINORS: tuple[tuple[tuple[int, int], int], ...] = (
    ((29, 0), 25),
    ((28, 4), 24),
    ((28, 3), 23),
    ((28, 2), 22),
    ((28, 1), 21),
    ((28, 0), 20),
    ((27, 1), 15),
    ((27, 0), 14),
    ((26, 0), 13),
    ((25, 0), 12),
    ((24, 0), 11),
    ((23, 0), 10),
    ((20, 10), 8),
)
_FRONTEND_OFFSET = 6  # BuildKit 0.8 has Dockerfile 1.2, 0.14 has 1.8, 0.33 has 1.27 (release notes of moby/buildkit)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """An engine. `memory` in bytes; `frontend` is the version of the Dockerfile frontend built into its BuildKit, or
    an earlier one, never a later; `containerd_store` tells that images lie in containerd, not under `storage_driver`.
    """

    version: str
    api_version: str
    os: str
    architecture: str
    storage_driver: str
    root_dir: str
    containerd_store: bool
    cpus: int
    memory: int
    frontend: tuple[int, int]

    @property
    def reads_zstd(self) -> bool:
        """Whether it pulls layers in zstd (release notes of 23.0)."""
        found = re.match(r"\d+", self.version)
        return found is not None and int(found[0]) >= 23


def engine_facts(endpoint: Endpoint) -> EngineFacts:
    """Asks the engine. Raises EngineError ``engine-unreachable`` or ``engine-lost``."""
    with connect(endpoint) as engine:
        return facts_from(engine.version(), engine.info())


def facts_from(version: Mapping[str, Any], info: Mapping[str, Any]) -> EngineFacts:
    """The facts in the answers of ``GET /version`` and ``GET /info``."""
    release = str(version.get("Version", ""))
    return EngineFacts(
        version=release,
        api_version=str(version.get("ApiVersion", "")),
        os=str(version.get("Os", info.get("OSType", ""))),
        architecture=str(version.get("Arch", "")),
        storage_driver=str(info.get("Driver", "")),
        root_dir=str(info.get("DockerRootDir", "")),
        containerd_store=_uses_containerd(info),
        cpus=int(info.get("NCPU") or 0),
        memory=int(info.get("MemTotal") or 0),
        frontend=frontend_version(release),
    )


def frontend_version(release: str) -> tuple[int, int]:
    """The Dockerfile frontend of the engine `release` (``20.10.24+dfsg1``); (1, 0) for one older than 20.10."""
    match = re.match(r"(\d+)\.(\d+)", release)
    if match is None:
        return (1, 0)
    found = (int(match[1]), int(match[2]))
    for least, minor in _BUILDKIT_MINORS:
        if found >= least:
            return (1, minor - _FRONTEND_OFFSET)
    return (1, 0)


def _uses_containerd(info: Mapping[str, Any]) -> bool:
    """Engines with the containerd image store say so in the driver's status."""
    status = info.get("DriverStatus") or []
    return any(list(pair) == ["driver-type", "io.containerd.snapshotter.v1"] for pair in status)

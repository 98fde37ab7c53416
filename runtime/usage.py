"""Who takes more of the disk than it may: its emptyDirs and its containers' writable layers are measured now and then,
and what grows past its limit is evicted.

After the kubelet (kubernetes/pkg/kubelet/eviction, localStorageEviction), in its words. The files of a container's
output are not counted: the engine rotates them.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.manifest.model import PodTemplate
from runtime.manifest.parse import is_limited
from runtime.manifest.quantity import shown_memory
from runtime.manifest.volume import EmptyVolume
from runtime.roster import Replica
from runtime.storage import empty_volume

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""As often as the kubelet looks (its housekeeping interval of evictions)."""
LONGEST_LOOK = 60.0
SHARE = 20
"""Of its time it spends at most one part in so many on measuring."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """Bytes of the disk, by the names of volumes and of containers."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    layers: Mapping[str, int] = field(default_factory=dict)


def excess(template: PodTemplate, used: Used) -> str:
    """Empty where all keep within their limits, else what does not, in the kubelet's words."""
    for volume in template.volumes:
        if not isinstance(volume, EmptyVolume) or not volume.size or volume.memory:
            continue
        if used.volumes.get(volume.name, 0) > volume.size:
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{shown_memory(volume.size)}". '
    total = 0
    for spec in template.all_containers:
        limit = spec.resources.disk_limit
        total += limit or 0
        if limit and used.layers.get(spec.name, 0) > limit:
            return f'Container {spec.name} exceeded its local ephemeral storage limit "{shown_memory(limit)}". '
    everything = sum(used.volumes.values()) + sum(used.layers.values())
    if total and all(spec.resources.disk_limit for spec in template.all_containers) and everything > total:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {shown_memory(total)}. "
    return ""


def size_of(folder: Path) -> int:
    """The bytes on disk of all that is below, as du counts them: each file once, links not followed. Whoever writes
    there may nest folders as deep as he likes, which du can follow. What goes away meanwhile is passed over. Raises
    OSError where the folder cannot be read, or that takes longer than `LONGEST_LOOK`."""
    try:
        run = subprocess.run(
            ["du", "-skx", str(folder)], capture_output=True, text=True, check=False, timeout=LONGEST_LOOK
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"{folder} was not measured within {LONGEST_LOOK:.0f} s") from error
    words = run.stdout.split(maxsplit=1)
    if not words or (run.returncode and not folder.exists()):
        raise FileNotFoundError(run.stderr.strip() or str(folder))
    return int(words[0]) * 1024


class Evictor(threading.Thread):
    """Looks at the replicas that have limits, and tells `evict` of those that take more, with the reason."""

    def __init__(
        self,
        instance: str,
        engine: Engine,
        replicas: Callable[[], Iterable[Replica]],
        evict: Callable[[Replica, str], None],
    ) -> None:
        super().__init__(name="evictor", daemon=True)
        self._instance = instance
        self._engine = engine
        self._replicas = replicas
        self._evict = evict
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()

    def run(self) -> None:
        """Until it is stopped."""
        pause = LOOK_SECONDS
        while not self._stopping.wait(pause):
            began = time.monotonic()
            for replica in self._replicas():
                if self._stopping.is_set():
                    return
                if is_limited(replica.template) and any(record.running for record in replica.containers):
                    self._look(replica)
            pause = max(LOOK_SECONDS, SHARE * (time.monotonic() - began))

    def _look(self, replica: Replica) -> None:
        try:
            reason = excess(replica.template, self.used(replica))
        except (EngineError, OSError) as error:
            log.warning("disk not measured", extra={"replica": replica.name, "error": str(error)})
            return
        if reason:
            self._evict(replica, reason)

    def used(self, replica: Replica) -> Used:
        """What a replica takes of the disk now. Raises EngineError, OSError."""
        volumes = {
            empty_volume(self._instance, replica.name, volume.name): volume.name
            for volume in replica.template.volumes
            if isinstance(volume, EmptyVolume) and not volume.memory
        }
        containers = {
            record.container_id: record.name
            for spec in replica.template.all_containers
            if (record := replica.record(spec.name)).container_id
        }
        layers, places = self._engine.places(list(containers), list(volumes))
        return Used(
            volumes={volumes[name]: size_of(place) for name, place in places.items()},
            layers={containers[name]: size_of(place) for name, place in layers.items()},
        )

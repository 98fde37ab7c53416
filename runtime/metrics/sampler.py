"""The one who measures: what each container has used, and what each replica and Service was asked, from time to time.

A figure is the difference of the last two samples. Nobody measures where nobody asks: an autoscaler asks every fifteen
seconds, and whoever looks at figures is told the same ones while they are fresh.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.clock import steady
from runtime.metrics.cgroup import Cgroups, Usage
from runtime.model import ServiceCounters

PERIOD_SECONDS = 15.0
LONGEST_SECONDS = 120.0
"""Samples further apart say little of now."""
SHORTEST_SECONDS = 1.0
"""What somebody who is the first to ask is kept waiting for."""
LEAST_SECONDS = 0.5
"""Between two samples."""
YOUNGEST_SECONDS = 1.0
"""What a container does before says little."""
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """A container that runs, its first process, and when it was started."""

    container_id: str
    pid: int
    started_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """What a container used over the `window` seconds until `at`: CPU in thousandths of a core, its working set in
    bytes, and the CPU's nanoseconds since it began."""

    cpu: int
    memory: int
    cpu_total: int
    at: float
    window: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Clocks:
    """The machine's own: hundredths of a second of all its CPUs, in all and idle."""

    total: int
    idle: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    at: float
    usage: Mapping[str, Usage] = field(default_factory=dict)
    started: Mapping[str, float | None] = field(default_factory=dict)
    served: Mapping[str, int] = field(default_factory=dict)
    services: Mapping[Key, ServiceCounters] = field(default_factory=dict)
    machine: Clocks | None = None


class Sampler:
    """For many threads. `containers` are those that run, `served` the requests that each replica was given since it
    began, and `services` what was counted for each Service; `now` is a clock that nobody sets."""

    def __init__(
        self,
        containers: Callable[[], Iterable[Watched]],
        served: Callable[[], Mapping[str, int]],
        services: Callable[[], Mapping[Key, ServiceCounters]],
        *,
        period: float = PERIOD_SECONDS,
        proc: Path = Path("/proc"),
        now: Callable[[], float] = steady,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._containers = containers
        self._served = served
        self._services = services
        self._period = period
        self._proc = proc
        self._cgroups = Cgroups(proc)
        self._now = now
        self._wait = wait or threading.Event().wait
        self._lock = threading.Lock()
        self._pair: tuple[_Sample | None, _Sample | None] = (None, None)

    def sample(self, spacing: float = LEAST_SECONDS) -> None:
        """Measure now, unless that was done less than `spacing` seconds ago."""
        with self._lock:
            now, latest = self._now(), self._pair[1]
            if latest is not None and now - latest.at < spacing:
                return
            watched = tuple(self._containers())
            usage = {
                item.container_id: found
                for item in watched
                if (found := self._cgroups.usage(item.container_id, item.pid))
            }
            self._cgroups.keep(usage.keys())
            new = _Sample(
                at=self._now(),
                usage=usage,
                started={item.container_id: item.started_at for item in watched},
                served=dict(self._served()),
                services=dict(self._services()),
                machine=self._clocks(),
            )
            # Both at once: a figure that is made meanwhile must be of two that differ.
            self._pair = (latest, new)

    def freshen(self) -> None:
        """See to it that the figures are of now. Who is the first to ask waits for a second."""
        before, latest = self._pair
        age = math.inf if latest is None else self._now() - latest.at
        if age < self._period and before is not None and latest is not None and latest.at - before.at < LONGEST_SECONDS:
            return
        if age > LONGEST_SECONDS:
            self.sample()
            self._wait(SHORTEST_SECONDS)
        elif age < SHORTEST_SECONDS:
            self._wait(SHORTEST_SECONDS)
        self.sample()

    def rate(self, container_id: str) -> Rate | None:
        """None where it was not measured twice, nor was started between the last two samples."""
        before, latest = self._pair
        if latest is None or before is None:
            return None
        new, old = latest.usage.get(container_id), before.usage.get(container_id)
        window = latest.at - before.at
        if new is not None and old is None:
            # By the machine's clock, which somebody may have set: it must fit between the two.
            age = latest.at - (latest.started.get(container_id) or 0.0)
            old, window = Usage(cpu=0, memory=0), age if YOUNGEST_SECONDS <= age <= window else 0.0
        if new is None or old is None or new.cpu < old.cpu or not window:
            return None
        return Rate(
            cpu=math.ceil((new.cpu - old.cpu) / window / 1e6),
            memory=new.memory,
            cpu_total=new.cpu,
            at=latest.at,
            window=window,
        )

    def usage(self, container_id: str) -> Usage | None:
        """What was measured last."""
        latest = self._pair[1]
        return None if latest is None else latest.usage.get(container_id)

    def requests(self, replica: str) -> tuple[int | None, float | None]:
        """(since it began, a second) of what the balancer gave a replica; None where nothing leads to it, or it was
        not counted twice."""
        before, latest = self._pair
        new = latest.served.get(replica) if latest else None
        old = before.served.get(replica) if before else None
        if latest is None or before is None or new is None or old is None:
            return new, None
        return new, max(0, new - old) / (latest.at - before.at)

    def service(self, key: Key) -> tuple[ServiceCounters | None, ServiceCounters | None]:
        """(as it was counted last, and the time before)."""
        before, latest = self._pair
        return latest.services.get(key) if latest else None, before.services.get(key) if before else None

    @property
    def window(self) -> float | None:
        """The seconds between the last two samples."""
        before, latest = self._pair
        return None if latest is None or before is None else latest.at - before.at

    @property
    def at(self) -> float | None:
        """When it was measured last."""
        latest = self._pair[1]
        return latest.at if latest else None

    def machine_cores(self, cores: float) -> float | None:
        """How many of the machine's `cores` did something."""
        before, latest = self._pair
        if latest is None or before is None or latest.machine is None or before.machine is None:
            return None
        total = latest.machine.total - before.machine.total
        idle = latest.machine.idle - before.machine.idle
        return None if total <= 0 else cores * max(0, total - idle) / total

    def _clocks(self) -> Clocks | None:
        try:
            return parse_clocks((self._proc / "stat").read_text())
        except (OSError, ValueError):
            return None


def parse_clocks(text: str) -> Clocks:
    """``/proc/stat``, proc(5): what guests used is in the user's time already; waiting for a disk is idle."""
    numbers = [int(word) for word in text.split("\n", 1)[0].split()[1:9]]
    return Clocks(total=sum(numbers), idle=numbers[3] + numbers[4])

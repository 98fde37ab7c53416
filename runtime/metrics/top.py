"""What is told of the last samples: a line for each replica and Service, and the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from runtime.figures import NodeFigures, ReplicaFigures, ServiceFigures
from runtime.manifest.model import ContainerSpec, Service
from runtime.manifest.resources import Resources
from runtime.metrics.sampler import Sampler, Watched
from runtime.model import ServiceCounters
from runtime.resources import Amounts, Machine
from runtime.roster import Replica, Roster
from runtime.routes import endpoints

NOTHING = ServiceCounters(requests=0, failed=0, retried=0, redispatched=0, errors_5xx=0, in_flight=0)


class Top:
    """For many threads. `machine` and `reserved` are its size and what was promised of it; raises EngineError."""

    def __init__(
        self,
        roster: Roster,
        sampler: Sampler,
        services: Callable[[], Iterable[Service]],
        machine: Callable[[], Machine],
        reserved: Callable[[], Amounts],
        proc: Path = Path("/proc"),
    ) -> None:
        self._roster = roster
        self._sampler = sampler
        self._services = services
        self._machine = machine
        self._reserved = reserved
        self._proc = proc

    def replicas(self, namespace: str | None) -> tuple[ReplicaFigures, ...]:
        """Every replica that is not done, or those of one namespace, by name."""
        self._sampler.freshen()
        found = [item for item in self._roster.all() if namespace in (None, item.namespace) and not item.done]
        return tuple(map(self._replica, sorted(found, key=lambda item: (item.namespace, item.shown_name))))

    def services(self, namespace: str | None) -> tuple[ServiceFigures, ...]:
        """Every Service, or those of one namespace, by name."""
        self._sampler.freshen()
        replicas = self._roster.all()
        found = [item for item in self._services() if namespace in (None, item.namespace)]
        return tuple(
            self._service(item, len([each for each in endpoints(item, replicas) if each.serves]))
            for item in sorted(found, key=lambda item: (item.namespace, item.name))
        )

    def node(self) -> NodeFigures:
        """The machine."""
        replicas = self.replicas(None)
        machine, reserved = self._machine().size, self._reserved()
        cores = self._sampler.machine_cores(machine.cpu / 1000)
        return NodeFigures(
            cpu=machine.cpu,
            memory=machine.memory,
            cpu_reserved=reserved.cpu,
            memory_reserved=reserved.memory,
            replicas=len(replicas),
            cpu_replicas=sum(item.cpu or 0 for item in replicas),
            memory_replicas=sum(item.memory or 0 for item in replicas),
            cpu_used=None if cores is None else round(cores * 1000),
            memory_used=_memory_used(self._proc),
            window=self._sampler.window,
        )

    def _replica(self, replica: Replica) -> ReplicaFigures:
        ids = [record.container_id for record in replica.containers if record.running and record.container_id]
        rates = [self._sampler.rate(container_id) for container_id in ids]
        usage = [self._sampler.usage(container_id) for container_id in ids]
        known, measured = [rate for rate in rates if rate], [item for item in usage if item]
        requests, each_second = self._sampler.requests(replica.name)
        specs, whole = replica.template.serving_containers, replica.template.resources
        return ReplicaFigures(
            name=replica.shown_name,
            namespace=replica.namespace,
            deployment=replica.deployment,
            ready=replica.ready,
            restarts=sum(record.backoff.restarts for record in replica.containers),
            cpu=sum(rate.cpu for rate in known) if known and len(known) == len(ids) else None,
            memory=sum(item.memory for item in measured) if measured and len(measured) == len(ids) else None,
            cpu_seconds=sum(item.cpu for item in measured) / 1e9 if measured else None,
            cpu_request=_first(whole.cpu_request, _sum(specs, lambda said: said.cpu_request)),
            cpu_limit=_first(whole.cpu_limit, _sum(specs, lambda said: said.cpu_limit)),
            memory_request=_first(whole.memory_request, _sum(specs, lambda said: said.memory_request)),
            memory_limit=_first(whole.memory_limit, _sum(specs, lambda said: said.memory_limit)),
            requests=requests,
            requests_per_second=each_second,
            window=self._sampler.window,
        )

    def _service(self, service: Service, replicas: int) -> ServiceFigures:
        latest, before = self._sampler.service((service.namespace, service.name))
        window = self._sampler.window

        def rate(count: Callable[[ServiceCounters], int]) -> float | None:
            if latest is None or before is None or not window:
                return None
            return max(0, count(latest) - count(before)) / window

        return ServiceFigures(
            name=service.name,
            namespace=service.namespace,
            replicas=replicas,
            counters=latest or NOTHING,
            requests_per_second=rate(lambda counted: counted.requests),
            errors_per_second=rate(lambda counted: counted.errors_5xx + counted.failed),
            retries_per_second=rate(lambda counted: counted.retried),
            window=window,
        )


def containers_of(roster: Roster) -> Iterable[Watched]:
    """Every container of every replica that runs."""
    for replica in roster.all():
        for record in replica.containers:
            if record.running and record.container_id:
                yield Watched(container_id=record.container_id, pid=record.pid, started_at=record.started_at)


def _first(whole: int | None, together: int | None) -> int | None:
    """What is said of the pod as a whole, else of its containers together."""
    return together if whole is None else whole


def _sum(specs: Iterable[ContainerSpec], amount: Callable[[Resources], int | None]) -> int | None:
    found = [amount(spec.resources) for spec in specs]
    known = [item for item in found if item is not None]
    return sum(known) if known and len(known) == len(found) else None


def _memory_used(proc: Path) -> int | None:
    """All that is not free to be given to somebody, proc(5)."""
    try:
        lines = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None
    return total - free

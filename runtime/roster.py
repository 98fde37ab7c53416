"""The replicas as they stand, in one place that every thread may read and wait on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from runtime.clock import steady
from runtime.manifest.model import JOB_LABELS, PodTemplate, Service
from runtime.naming import kept
from runtime.restart import Backoff
from runtime.standing import ContainerRecord, overall
from runtime.store import Store, StoredReplica

EVICTED = "Evicted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """One replica. `phase` as in `ReplicaStatus`; `admitted` when the balancer was seen to give it requests, or nobody
    routes to it; `serving` when all probes of readiness pass, also while it is being stopped; `placed` once the machine
    had room for it. `sandbox` is the container that has the network of several; `pod` the name of a pod that is no
    Deployment's; `was_ready` when it was so as it was told to end. A pod of a `job`, with its `index` where it has one,
    is `halted` when it was told to end and to stay, and `done` once all of it has ended. Of its containers the main one
    is spoken of; `containers` has all, the main one first. Times are Unix seconds."""

    name: str
    namespace: str
    deployment: str
    template_hash: str
    template: PodTemplate = field(repr=False)
    created_at: float
    phase: str = "Pending"
    message: str = ""
    running: bool = False
    ready: bool = False
    ready_since: float | None = None
    admitted: bool = False
    terminating: bool = False
    was_ready: bool = False
    container_id: str = ""
    address: str = ""
    pid: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    backoff: Backoff = field(default_factory=Backoff)
    last_log: tuple[str, ...] = ()
    serving: bool = False
    placed: bool = False
    sandbox: str = ""
    pod: str = ""
    containers: tuple[ContainerRecord, ...] = ()
    job: str = ""
    index: int | None = None
    halted: bool = False
    done: bool = False

    def record(self, container: str) -> ContainerRecord:
        """How one of its containers stands."""
        known = next((record for record in self.containers if record.name == container), None)
        return known or ContainerRecord(name=container)

    def with_record(self, container: str, now: float, **changes: Any) -> Replica:
        """The same after something of a container has changed, with all that follows for the replica; `now` is when."""
        names = [spec.name for spec in self.template.all_containers]
        records = {name: self.record(name) for name in names}
        records[container] = replace(records[container], **changes)
        found = tuple(records[name] for name in names)
        said = overall(found, [spec.name for spec in self.template.serving_containers])
        if self.terminating or self.evicted:
            said |= {"phase": self.phase, "message": self.message}
        ready = said["serving"] and not (self.terminating or self.evicted)
        since = None if not ready else self.ready_since if self.ready else now
        admitted = self.admitted and ready
        return replace(self, containers=found, ready=ready, ready_since=since, admitted=admitted, **said)

    def available(self, min_ready_seconds: float, now: float) -> bool:
        """Ready for long enough, and reached by requests where there are any."""
        if not (self.ready and self.admitted) or self.ready_since is None:
            return False
        # Ready since later than now: the clock was set back while the controller was away.
        return not 0 <= now - self.ready_since < min_ready_seconds

    @property
    def container_ids(self) -> frozenset[str]:
        """Those of all its containers, and of the one that has their network."""
        known = frozenset(record.container_id for record in self.containers if record.container_id)
        return known | {self.sandbox} if self.sandbox else known

    @property
    def evicted(self) -> bool:
        """Whether it was stopped for what it took, and stays as it is: a pod of its own that has failed."""
        return self.phase == EVICTED

    @property
    def shown_name(self) -> str:
        """What its pod is called."""
        return self.pod or self.name

    def is_of(self, service: Service) -> bool:
        """Whether the Service leads to it. A Job's pods, which often have the labels of their app, are not meant unless
        it says so."""
        if self.job and not JOB_LABELS.intersection(service.selector):
            return False
        return service.namespace == self.namespace and service.selects(self.template.labels)

    @property
    def serves(self) -> bool:
        """Whether it should be given requests."""
        return self.ready and self.running and not self.terminating and bool(self.address)

    @property
    def serves_at_its_end(self) -> bool:
        """Whether it may be given requests still, where no other can be."""
        return self.was_ready and self.running and self.terminating and bool(self.address)


def pod_replica(namespace: str, name: str) -> str:
    """The name of the one replica of a pod that is no Deployment's: it has its namespace behind a dot, for
    pods of several may have one name."""
    return f"{kept(name)}.{namespace}"


class Roster:
    """Replicas by name. A change is stored before it is seen, and wakes whoever waits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._replicas: dict[str, Replica] = {}
        self._changed = threading.Condition()
        self._version = 0

    def all(self) -> tuple[Replica, ...]:
        """Every replica, the oldest first."""
        with self._changed:
            return tuple(sorted(self._replicas.values(), key=lambda replica: (replica.created_at, replica.name)))

    def get(self, name: str) -> Replica | None:
        """One replica, or None."""
        with self._changed:
            return self._replicas.get(name)

    def by_container(self, container_id: str) -> Replica | None:
        """The replica that the container belongs to, or None."""
        with self._changed:
            found = (replica for replica in self._replicas.values() if container_id in replica.container_ids)
            return next(found, None)

    def add(self, replica: Replica) -> None:
        """A replica that was decided on."""
        with self._changed:
            self._store.put_replica(to_stored(replica))
            self._replicas[replica.name] = replica
            self._wake()

    def update(self, name: str, when: Callable[[Replica], bool] | None = None, **changes: Any) -> bool:
        """Change fields of a replica; False where it is gone, or `when` does not hold of it at that moment."""
        with self._changed:
            before = self._replicas.get(name)
            if before is None or (when is not None and not when(before)):
                return False
            self._put(before, replace(before, **changes))
            return True

    def tell(
        self, name: str, container: str, when: Callable[[Replica, ContainerRecord], bool] | None = None, **changes: Any
    ) -> bool:
        """The same for one of its containers, with what follows for the replica."""
        with self._changed:
            before = self._replicas.get(name)
            if before is None or (when is not None and not when(before, before.record(container))):
                return False
            self._put(before, before.with_record(container, steady(), **changes))
            return True

    def remove(self, name: str) -> None:
        """The replica is no more."""
        with self._changed:
            self._store.drop_replica(name)
            self._replicas.pop(name, None)
            self._wake()

    def wait(self, seen: int, timeout: float) -> int:
        """The number of the newest change, once it is past `seen` or `timeout` seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > seen, timeout)
            return self._version

    def poke(self) -> None:
        """Wake whoever waits: something else has changed."""
        with self._changed:
            self._wake()

    def _put(self, before: Replica, after: Replica) -> None:
        if after == before:
            return
        if to_stored(after) != to_stored(before):
            self._store.put_replica(to_stored(after))
        self._replicas[after.name] = after
        self._wake()

    def _wake(self) -> None:
        self._version += 1
        self._changed.notify_all()


_MEMORY = (
    "phase",
    "message",
    "running",
    "ready",
    "ready_since",
    "terminating",
    "container_id",
    "started_at",
    "ended_at",
    "exit_code",
)
_OF_JOB = ("job", "index", "halted", "done")


def to_stored(replica: Replica) -> StoredReplica:
    """What is remembered of a replica when the controller ends."""
    state: dict[str, Any] = {name: getattr(replica, name) for name in _MEMORY}
    state["backoff"] = asdict(replica.backoff)
    state["last_log"] = list(replica.last_log)
    state["admitted"] = replica.admitted
    state["serving"] = replica.serving
    state["placed"] = replica.placed
    state["sandbox"] = replica.sandbox
    state["pod"] = replica.pod
    state["containers"] = [record.as_json() for record in replica.containers]
    state["images"] = {record.name: record.image_id for record in replica.containers if record.image_id}
    state["settled"] = {record.name: record.settled for record in replica.containers}
    if replica.job:
        state["job"] = {name: getattr(replica, name) for name in _OF_JOB}
        state["lost"] = [record.name for record in replica.containers if record.lost]
    return StoredReplica(
        name=replica.name,
        namespace=replica.namespace,
        deployment=replica.deployment,
        hash=replica.template_hash,
        created_at=replica.created_at,
        state=state,
    )


def from_stored(stored: StoredReplica, template: PodTemplate) -> Replica:
    """The inverse of `to_stored`. Where it runs is asked of the engine."""
    state = {name: stored.state[name] for name in _MEMORY}
    images = stored.state.get("images", {})
    found = (ContainerRecord.from_json(raw) for raw in stored.state.get("containers", ()))
    settled, lost = stored.state.get("settled", {}), stored.state.get("lost", ())
    records = tuple(
        replace(
            record,
            image_id=images.get(record.name, record.image_id),
            # A version before this one told of the end of each that did not run.
            settled=settled.get(record.name, "" if record.running else record.container_id),
            lost=record.name in lost,
        )
        for record in found
    )
    return Replica(
        name=stored.name,
        namespace=stored.namespace,
        deployment=stored.deployment,
        template_hash=stored.hash,
        template=template,
        created_at=stored.created_at,
        backoff=Backoff(**stored.state["backoff"]),
        last_log=tuple(stored.state["last_log"]),
        pod=stored.state.get("pod", ""),
        sandbox=stored.state.get("sandbox", ""),
        placed=stored.state.get("placed", bool(state["container_id"])),
        admitted=stored.state.get("admitted", state["ready"]),
        serving=stored.state.get("serving", state["ready"]),
        containers=records or (_only_record(stored, template),),
        **stored.state.get("job", {}),
        **state,
    )


def _only_record(stored: StoredReplica, template: PodTemplate) -> ContainerRecord:
    """That of the container of a replica as earlier versions stored it: one alone, without a startup probe."""
    state = stored.state
    same = ("phase", "message", "container_id", "running", "ready", "started_at", "ended_at", "exit_code")
    return ContainerRecord(
        name=template.container.name,
        started=state["running"],
        settled="" if state["running"] else state["container_id"],
        backoff=Backoff(**state["backoff"]),
        last_log=tuple(state["last_log"]),
        **{name: state[name] for name in same},
    )

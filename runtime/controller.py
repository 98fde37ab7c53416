"""The controller: one loop that makes what runs equal to what was applied.

It alone starts and stops replicas. What should run is in its store, what runs is in the engine under this instance's
labels; events of the engine are hints that make it look sooner. Killed at any moment it goes on from these two.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runtime.balancer import Backend, Balancer, Server
from runtime.balancer.config import backend_name
from runtime.decide import Action, Desired, Observed, Start, decide, resolve_bounds
from runtime.engine import ContainerFacts, Engine
from runtime.errors import BalancerError, EngineError, ImageError, NotFound, RuntimeFailure
from runtime.launch import launch
from runtime.manifest import Document, Service, load_data
from runtime.manifest.model import Deployment
from runtime.manifest.template import template_hash
from runtime.model import AppliedObject, ControllerInfo, DeploymentStatus, ServiceCounters
from runtime.probes import Prober
from runtime.progress import ProgressClock
from runtime.replica import LAST_LINES, Life, Replica
from runtime.restart import Backoff
from runtime.settings import RuntimeSettings
from runtime.status import deployment_status
from runtime.store import Store, StoredReplica

log = logging.getLogger(__name__)

VERSION = "1"
LOOK_SECONDS = 10.0
"""How often everything is compared with the engine and the balancer, whatever events said."""
TURN_SECONDS = 1.0
"""The longest pause between two turns: minReadySeconds, back-off and deadlines are looked at then."""
WORKERS = 8
ERROR_PAUSE = 5.0
"""Seconds before an image that could not be had, or an engine that failed, is tried again."""
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class Controller:
    """One instance's controller. `run` blocks; everything else may be called from other threads meanwhile."""

    def __init__(self, settings: RuntimeSettings, *, pid: int) -> None:
        self.settings = settings
        self._pid = pid
        self._started_at = time.time()
        self._store = Store(settings.store)
        self._engine = Engine(settings.engine, settings.instance)
        self._balancer = Balancer(settings)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._version = 0
        self._replicas: dict[str, Replica] = {}
        self._clock = ProgressClock()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="replica")
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._looked_at = 0.0
        self._reconciled: dict[tuple[str, str], int] = {}

    # What others ask for.

    def info(self) -> ControllerInfo:
        """Who this is, and whether engine and balancer answer it."""
        return ControllerInfo(
            pid=self._pid,
            version=VERSION,
            instance=self.settings.instance,
            engine=self.settings.engine,
            started_at=self._started_at,
            engine_ok=self._engine.answers(),
            balancer_ok=self._balancer.answers(),
        )

    def apply(self, documents: Iterable[Document]) -> tuple[AppliedObject, ...]:
        """Store objects, all or none, and have them carried out."""
        applied = []
        with self._lock, self._store.together():
            for document in documents:
                change = self._store.put_object(document.kind, document.namespace, document.name, document.data)
                if isinstance(document.object, Deployment):
                    self._number(document.object)
                applied.append(
                    AppliedObject(kind=document.kind, namespace=document.namespace, name=document.name, change=change)
                )
                self._clock.restart((document.namespace, document.name))
        self._route()
        self._note()
        return tuple(applied)

    def change(self, namespace: str, name: str, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edit a Deployment's manifest. Raises NotFound."""
        with self._lock, self._store.together():
            known = self._store.get_object("Deployment", namespace, name)
            if known is None:
                raise _missing("Deployment", namespace, name)
            edit(known.data)
            self._store.put_object("Deployment", namespace, name, known.data)
            document = load_data(known.data)
            assert isinstance(document.object, Deployment)
            self._number(document.object)
            self._clock.restart((namespace, name))
        self._note()

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """Forget an object; a Deployment's replicas are stopped. Raises NotFound."""
        with self._lock, self._store.together():
            if not self._store.delete_object(kind, namespace, name):
                raise _missing(kind, namespace, name)
        self._route()
        self._note()

    def statuses(self, namespace: str | None = None) -> tuple[DeploymentStatus, ...]:
        """Every Deployment as it stands."""
        with self._lock:
            found = [obj for obj in self._store.objects() if obj.kind == "Deployment"]
            return tuple(self._status(obj.namespace, obj.name) for obj in found if namespace in (None, obj.namespace))

    def status(self, namespace: str, name: str) -> DeploymentStatus:
        """One Deployment as it stands. Raises NotFound."""
        with self._lock:
            return self._status(namespace, name)

    def manifest(self, namespace: str, name: str) -> dict[str, Any]:
        """A Deployment's manifest as it is now. Raises NotFound."""
        known = self._store.get_object("Deployment", namespace, name)
        if known is None:
            raise _missing("Deployment", namespace, name)
        return known.data

    def counters(self, namespace: str, service: str) -> ServiceCounters:
        """What the balancer counted for a Service. Raises NotFound."""
        if self._store.get_object("Service", namespace, service) is None:
            raise _missing("Service", namespace, service)
        return self._balancer.counters(backend_name(namespace, service))

    def wait_change(self, seen: int, seconds: float) -> int:
        """Wait until something changed after version `seen`, at most `seconds`; gives the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen or self._stopping.is_set(), seconds)
            return self._version

    def containers_of(self, namespace: str, name: str) -> dict[str, str]:
        """The containers of a Deployment's replicas: replica name to container ID."""
        with self._lock:
            return {
                replica.name: replica.container_id
                for replica in self._replicas.values()
                if (replica.stored.namespace, replica.stored.deployment) == (namespace, name) and replica.container_id
            }

    @property
    def engine(self) -> Engine:
        """The engine, for reading logs."""
        return self._engine

    @property
    def stopped(self) -> bool:
        """Whether the controller is to end."""
        return self._stopping.is_set()

    # The loop.

    def run(self) -> None:
        """Work until `stop`. Replicas run on afterwards."""
        self._recall()
        threading.Thread(target=self._listen, name="engine-events", daemon=True).start()
        self._route()
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._turn()
            except EngineError as error:
                log.warning("the engine does not answer: %s", error)
            except BalancerError as error:
                log.warning("the balancer does not answer: %s", error)
            self._wake.wait(TURN_SECONDS)
        self._pool.shutdown(wait=True, cancel_futures=True)
        for replica in self._replicas.values():
            if replica.prober:
                replica.prober.stop()
        self._store.close()
        self._engine.close()

    def stop(self) -> None:
        """End the loop."""
        self._stopping.set()
        self._wake.set()
        with self._changed:
            self._changed.notify_all()

    def _turn(self) -> None:
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look()
            self._balancer.mend()
            self._looked_at = time.monotonic()
        with self._lock:
            self._start_due()
            deployments = {(obj.namespace, obj.name): obj for obj in self._store.objects() if obj.kind == "Deployment"}
            orphaned = {(r.stored.namespace, r.stored.deployment) for r in self._replicas.values()} - deployments.keys()
            for key in orphaned:
                self._carry_out(key, None, decide(None, self._observed(key)))
            for key, obj in deployments.items():
                deployment = load_data(obj.data).object
                assert isinstance(deployment, Deployment)
                self._carry_out(key, deployment, self._decide(deployment, key))
                if self._reconciled.get(key) != obj.generation:
                    self._reconciled[key] = obj.generation
                    self._note()

    def _decide(self, deployment: Deployment, key: tuple[str, str]) -> tuple[Action, ...]:
        surge, unavailable = resolve_bounds(deployment.replicas, deployment.max_surge, deployment.max_unavailable)
        desired = Desired(
            replicas=deployment.replicas,
            template_hash=template_hash(deployment.template),
            max_surge=surge,
            max_unavailable=unavailable,
        )
        return decide(desired, self._observed(key))

    def _observed(self, key: tuple[str, str]) -> list[Observed]:
        now = time.time()
        return [
            Observed(
                name=replica.name,
                template_hash=replica.stored.template_hash,
                revision=self._store.revision(*key, replica.stored.template_hash),
                created_at=replica.stored.created_at,
                ready=replica.ready,
                available=replica.ready and now - replica.ready_since >= replica.deployment.min_ready_seconds,
                terminating=replica.stopping,
                restarts=replica.backoff.restarts,
            )
            for replica in self._replicas.values()
            if (replica.stored.namespace, replica.stored.deployment) == key
        ]

    def _carry_out(self, key: tuple[str, str], deployment: Deployment | None, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                assert deployment is not None
                for _ in range(action.count):
                    self._begin(key, deployment)
            else:
                self._end(self._replicas[action.name])

    def _begin(self, key: tuple[str, str], deployment: Deployment) -> None:
        """A new replica: remembered first, started then."""
        known = self._store.get_object("Deployment", *key)
        assert known is not None
        hashed = template_hash(deployment.template)
        name = f"{deployment.name}-{hashed}-{''.join(secrets.choice(_NAME_LETTERS) for _ in range(5))}"
        stored = StoredReplica(
            name=name,
            namespace=key[0],
            deployment=key[1],
            template_hash=hashed,
            template=known.data,
            created_at=time.time(),
            backoff=Backoff(),
            attempt=0,
            stopping=False,
        )
        self._store.put_replica(stored)
        self._replicas[name] = Replica(stored, deployment)
        self._start(self._replicas[name])

    def _start_due(self) -> None:
        now = time.time()
        for replica in self._replicas.values():
            if replica.life in (Life.NEW, Life.ENDED) and not replica.stopping and now >= replica.next_start_at:
                self._start(replica)

    def _start(self, replica: Replica) -> None:
        replica.life = Life.STARTING
        self._pool.submit(self._guarded, self._do_start, replica)

    def _do_start(self, replica: Replica) -> None:
        """Make the container; in a worker, because an engine takes its time."""
        with self._lock:
            if replica.stopping:
                return
            replica.change(attempt=replica.stored.attempt + 1)
            self._store.put_replica(replica.stored)
            before = replica.container_id
        if before:
            self._engine.remove(before)
        revision = self._store.revision(
            replica.stored.namespace, replica.stored.deployment, replica.stored.template_hash
        )
        try:
            facts = launch(self._engine, self.settings.instance, replica.stored, replica.deployment, revision)
        except (ImageError, EngineError) as error:
            self._could_not_start(replica, error)
            return
        with self._lock:
            self._running(replica, facts)
        self._note()

    def _could_not_start(self, replica: Replica, error: RuntimeFailure) -> None:
        reasons = {"image-unavailable": "ImagePullBackOff", "container-refused": "CreateContainerError"}
        with self._lock:
            replica.reason = reasons.get(
                error.code, "CreateContainerConfigError" if error.kind == "failed" else "Pending"
            )
            replica.message = error.message
            replica.life = Life.NEW
            replica.next_start_at = time.time() + ERROR_PAUSE
        self._note()

    def _running(self, replica: Replica, facts: ContainerFacts) -> None:
        """A container runs: probe it, and with its first success it gets traffic."""
        replica.container_id, replica.address, replica.pid = facts.id, facts.address, facts.pid
        replica.started_at, replica.life, replica.reason, replica.message = facts.started_at, Life.RUNNING, "", ""
        if not facts.running:
            self._ended(replica, facts)
            return
        if replica.stopping:
            return
        container = replica.deployment.template.container
        probe = container.readiness
        port = container.port_number(probe.port) if probe else None
        if probe is None or port is None:
            self._set_ready(replica, True, "")
            return
        replica.prober = Prober(
            probe,
            facts.address,
            port,
            on_result=lambda ready, message: self._probed(replica, facts.id, ready, message),
            name=replica.name,
        )

    def _probed(self, replica: Replica, container_id: str, ready: bool, message: str) -> None:
        with self._lock:
            if replica.container_id != container_id or replica.life is not Life.RUNNING or replica.stopping:
                return
            replica.message = message
            if ready is not replica.ready:
                self._set_ready(replica, ready, message)
        self._note()

    def _set_ready(self, replica: Replica, ready: bool, message: str) -> None:
        """Give a replica traffic, or take it away; ready means that the balancer has it."""
        try:
            for backend, server in self._places(replica):
                if ready:
                    self._balancer.add(backend, server)
                else:
                    self._balancer.pause(backend, server.name)
        except BalancerError as error:
            log.warning("%s stays %s: %s", replica.name, "out" if ready else "in", error)
            if ready:
                return
        replica.ready, replica.message = ready, message
        replica.ready_since = time.time() if ready else 0.0

    def _places(self, replica: Replica) -> list[tuple[str, Server]]:
        """Where a replica belongs in the balancer."""
        container = replica.deployment.template.container
        found = []
        for obj in self._store.objects():
            if obj.kind != "Service" or obj.namespace != replica.stored.namespace:
                continue
            service = load_data(obj.data).object
            assert isinstance(service, Service)
            port = container.port_number(service.routed_port.target)
            if service.selects(replica.deployment.template.labels) and port and replica.address:
                server = Server(name=replica.name, address=replica.address, port=port)
                found.append((backend_name(obj.namespace, obj.name), server))
        return found

    def _ended(self, replica: Replica, facts: ContainerFacts) -> None:
        """A container ended by itself: out of the balancer, its last words kept, and started again in due time."""
        if replica.prober:
            replica.prober.stop()
            replica.prober = None
        for backend, server in self._places(replica):
            self._balancer.remove(backend, server.name)
        now = time.time()
        ran_for = max(0.0, (facts.finished_at or now) - (facts.started_at or now))
        replica.change(backoff=replica.backoff.after_end(ran_for))
        self._store.put_replica(replica.stored)
        replica.ready, replica.ready_since, replica.life = False, 0.0, Life.ENDED
        replica.exit_code = facts.exit_code
        replica.reason = "OOMKilled" if facts.oom_killed else ""
        delay = replica.backoff.delay
        replica.next_start_at = (facts.finished_at or now) + delay
        replica.message = f"back-off {delay:.0f}s restarting failed container" if delay else facts.error
        replica.last_log = self._engine.tail(facts.id, LAST_LINES)
        log.info("%s ended with exit code %s", replica.name, facts.exit_code)

    def _end(self, replica: Replica) -> None:
        """Take a replica out: no traffic from now on; the rest in a worker."""
        replica.change(stopping=True)
        self._store.put_replica(replica.stored)
        if replica.prober:
            replica.prober.stop()
            replica.prober = None
        self._pool.submit(self._guarded, self._do_end, replica)

    def _do_end(self, replica: Replica) -> None:
        """Out of the balancer, drained, then stopped: a request is never sent to a dying replica."""
        places = self._places(replica)
        grace = float(replica.deployment.template.grace_period)
        deadline = time.monotonic() + grace
        try:
            for backend, server in places:
                self._balancer.pause(backend, server.name)
            for backend, server in places:
                self._balancer.wait_idle(backend, server.name, max(0.0, deadline - time.monotonic()))
        except BalancerError as error:
            log.warning("%s is stopped without being drained: %s", replica.name, error)
        while replica.life is Life.STARTING and not self._stopping.is_set() and time.monotonic() < deadline:
            self.wait_change(self._version, 0.1)
        replica.ready = False
        if replica.container_id:
            self._engine.stop(replica.container_id, max(1.0, deadline - time.monotonic()))
            self._engine.remove(replica.container_id)
        for backend, server in places:
            self._balancer.remove(backend, server.name)
        with self._lock:
            self._store.delete_replica(replica.name)
            self._replicas.pop(replica.name, None)
        self._note()

    def _guarded(self, work: Callable[[Replica], None], replica: Replica) -> None:
        """A worker's frame: what fails is told and tried again with the next look."""
        try:
            work(replica)
        except RuntimeFailure as error:
            log.warning("%s: %s", replica.name, error)
            with self._lock:
                if work == self._do_start:
                    self._could_not_start(replica, error)
                else:
                    self._looked_at = 0.0
                    replica.life = Life.STOPPING
        except Exception:
            log.exception("%s: a worker failed", replica.name)

    # What the engine says.

    def _listen(self) -> None:
        for event in self._engine.events(self._stopping.is_set):
            if event is None:
                self._looked_at = 0.0
                self._wake.set()
            elif event.action in ("die", "oom", "destroy"):
                self._heard_of(event.container_id)

    def _heard_of(self, container_id: str) -> None:
        """A container ended: out of the balancer at once, before anything slower."""
        with self._lock:
            replica = next((r for r in self._replicas.values() if r.container_id == container_id), None)
            if replica is None or replica.life is not Life.RUNNING or replica.stopping:
                return
            try:
                for backend, server in self._places(replica):
                    self._balancer.pause(backend, server.name)
                facts = self._engine.inspect(container_id)
                if facts is None or not facts.running:
                    self._ended(replica, facts or _vanished(replica))
                    self._start_due()
            except RuntimeFailure as error:
                log.warning("%s ended, and %s", replica.name, error)
                self._looked_at = 0.0
        self._note()

    def _look(self) -> None:
        """Compare every replica with its container."""
        found = {facts.id: facts for facts in self._engine.containers()}
        with self._lock:
            for replica in list(self._replicas.values()):
                facts = found.get(replica.container_id)
                if replica.life is Life.STOPPING and replica.stopping:
                    self._end(replica)
                elif replica.life is Life.RUNNING and not replica.stopping and (facts is None or not facts.running):
                    self._ended(replica, facts or _vanished(replica))
                elif replica.life is Life.RUNNING and facts and facts.address != replica.address:
                    self._moved(replica, facts)
            known = {replica.container_id for replica in self._replicas.values()}
            starting = any(replica.life is Life.STARTING for replica in self._replicas.values())
        if not starting:
            for container_id in found.keys() - known:
                log.warning("removing container %s, which belongs to no replica", container_id[:12])
                self._engine.remove(container_id)

    def _moved(self, replica: Replica, facts: ContainerFacts) -> None:
        """Addresses are not stable over a stop and a start of the engine."""
        if replica.prober:
            replica.prober.stop()
        for backend, server in self._places(replica):
            self._balancer.remove(backend, server.name)
        replica.ready = False
        self._running(replica, facts)

    def _recall(self) -> None:
        """After a start: the replicas of the store with the containers that carry their names."""
        while not self._stopping.is_set():
            try:
                found = {facts.replica: facts for facts in self._engine.containers()}
                break
            except EngineError as error:
                log.warning("waiting for the engine: %s", error)
                self._stopping.wait(0.5)
        else:
            return
        self._route()
        with self._lock:
            for stored in self._store.replicas():
                deployment = load_data(stored.template).object
                assert isinstance(deployment, Deployment)
                replica = self._replicas[stored.name] = Replica(stored, deployment)
                facts = found.get(stored.name)
                if stored.stopping:
                    replica.container_id = facts.id if facts else ""
                    self._end(replica)
                elif facts and facts.running:
                    self._running(replica, facts)
                elif facts and not facts.created:
                    replica.container_id = facts.id
                    self._ended(replica, facts)
                elif facts:
                    replica.container_id = facts.id
            self._looked_at = time.monotonic()

    # Small things.

    def _route(self) -> None:
        """Give the balancer the Services there are."""
        with self._lock:
            backends = []
            for obj in self._store.objects():
                if obj.kind == "Service":
                    service = load_data(obj.data).object
                    assert isinstance(service, Service)
                    backends.append(Backend(name=backend_name(obj.namespace, obj.name), hosts=service.hosts))
            self._balancer.route(backends)
            # A Service that came after its replicas.
            for replica in self._replicas.values():
                if replica.ready and not replica.stopping:
                    self._set_ready(replica, True, replica.message)

    def _number(self, deployment: Deployment) -> None:
        self._store.new_revision(deployment.namespace, deployment.name, template_hash(deployment.template))

    def _status(self, namespace: str, name: str) -> DeploymentStatus:
        obj = self._store.get_object("Deployment", namespace, name)
        if obj is None:
            raise _missing("Deployment", namespace, name)
        deployment = load_data(obj.data).object
        assert isinstance(deployment, Deployment)
        key = (namespace, name)
        hosts = [
            host
            for other in self._store.objects()
            if other.kind == "Service" and other.namespace == namespace
            for service in [load_data(other.data).object]
            if isinstance(service, Service) and service.selects(deployment.template.labels)
            for host in service.hosts
        ]
        mine = [r for r in self._replicas.values() if (r.stored.namespace, r.stored.deployment) == key]
        return deployment_status(
            deployment,
            mine,
            generation=obj.generation,
            observed_generation=self._reconciled.get(key, 0),
            revision_of=lambda hashed: self._store.revision(namespace, name, hashed),
            clock=self._clock,
            host=hosts[0] if hosts else "",
            now=time.time(),
        )

    def _note(self) -> None:
        """Something changed: look again, and tell those who watch."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()
        self._wake.set()


def _missing(kind: str, namespace: str, name: str) -> NotFound:
    return NotFound("not-found", f"{kind} {namespace}/{name}", "there is none of this name", hint="imageforge status")


def _vanished(replica: Replica) -> ContainerFacts:
    """What is known of a container that was removed under us."""
    return ContainerFacts(
        id=replica.container_id,
        replica=replica.name,
        running=False,
        created=False,
        address="",
        pid=0,
        exit_code=137,
        oom_killed=False,
        started_at=replica.started_at,
        finished_at=time.time(),
        error="the container was removed by somebody else",
    )

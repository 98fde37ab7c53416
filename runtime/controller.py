"""The one who decides: brings what runs to what the manifests ask for, for as long as it lives.

One loop looks at everything, decides with `decide`, and tells the keepers; each replica's keeper does the slow work in
a thread of its own. Two more threads listen to the engine: its events are hints that come fast, the list is the truth
that comes every `RESYNC_SECONDS`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from runtime.autoscale.autoscalers import Autoscalers
from runtime.balancer.balancer import Balancer
from runtime.balancer.config import Backend
from runtime.clock import steady
from runtime.container import ContainerState, Identity, network_name
from runtime.creation import Creation
from runtime.crons import Crons
from runtime.decide import (
    Action,
    Desired,
    Observed,
    Start,
    decide,
    tell,
)
from runtime.discovery.discovery import (
    Discovery,
)
from runtime.engine import Engine
from runtime.entrances import Entrances
from runtime.errors import BalancerError, EngineError, NotFound
from runtime.events import Recorder
from runtime.held import Held, HeldPod
from runtime.jobs import Jobs
from runtime.keeper import Keeper
from runtime.keepers import Keepers
from runtime.labels import Label
from runtime.life import Surroundings
from runtime.machine import Host
from runtime.manifest.model import PodTemplate, Service
from runtime.manifest.template import template_hash
from runtime.metrics.sampler import Sampler
from runtime.metrics.top import Top, containers_of
from runtime.model import (
    DeploymentStatus,
    ObjectView,
    PodStatus,
    RevisionStatus,
    RolloutPhase,
    ServiceCounters,
    ServiceStatus,
)
from runtime.naming import generated
from runtime.objects import Objects
from runtime.parts import Parts
from runtime.pod import pod_status
from runtime.pod_group import PodGroups
from runtime.policy import Policy
from runtime.proportion import Size
from runtime.records import Records, Way, ways
from runtime.refresh import Refresher, Running
from runtime.room import Room
from runtime.roster import Replica, Roster, from_stored, pod_replica
from runtime.routes import backend_of, has_all, leads_to, places, wanted_backends
from runtime.seal import Seal
from runtime.secret_files import SecretFiles
from runtime.settings import RuntimeSettings
from runtime.status import Counts, Progress, bounds, count, deployment_status, is_complete, phase_of, revisions
from runtime.storage import Storage
from runtime.store import Store
from runtime.usage import Evictor
from runtime.views import object_views
from runtime.watch import EngineWatch

log = logging.getLogger(__name__)

LOOP_SECONDS = 1.0
"""The longest between two looks; changes that are noticed bring on a look at once."""

BREATH = 3
"""So many times as long as a look took nobody looks again, where there is more to look at already."""
LONGEST_BREATH = 0.1
"""The most seconds of that."""
SETTLING_SECONDS = 0.05
"""The same just after a reload, for the old process of HAProxy is held until it was looked at a last time, and after
a rollout, the record of which is closed a moment later."""

PARALLEL_STARTS = 8
"""Containers started at a time. On two cores 1 to 30 replicas took 0.95 of what docker-compose did with four, and 0.78
with eight: a start waits for the kernel as well as for the processor."""

COUNTERS_NOTE = "counters"
Key = tuple[str, str]


@dataclass(slots=True)
class _Course:
    """What is remembered of a Deployment between two looks."""

    progress: Progress
    observed_generation: int = 0
    sized_for: Size | None = None


class Controller:
    """Owner of the loop and of the keepers."""

    def __init__(self, settings: RuntimeSettings, store: Store, engine: Engine, balancer: Balancer) -> None:
        self.settings = settings
        self.started_at = time.time()
        self.engine = engine
        self.balancer = balancer
        self._store = store
        self.roster = Roster(store)
        self.events = Recorder(store)
        policy = Policy(
            privileged=settings.allow_privileged,
            restricted=settings.restricted,
            profiles=settings.seccomp_profiles,
            apparmor=settings.apparmor_profiles,
        )
        self.objects = Objects(store, self.roster.poke, Seal(settings.key), policy)
        self.discovery = Discovery(settings, store, engine, self.objects.services, self.events)
        self.entrances = Entrances(self.objects.ingresses, self.objects.secret, self.events)
        balancer.given = self.entrances.certificates
        files = SecretFiles(settings.secret_files, settings.engine)
        self.storage = Storage(
            instance=settings.instance,
            engine=engine,
            files=files,
            store=store,
            claim=self.objects.claim,
            parts=Parts(settings.parts, settings.engine),
            host_paths=settings.host_paths,
        )
        self._creation = Creation(
            engine=engine,
            secret=self.objects.secret,
            config_map=self.objects.config_map,
            files=files,
            storage=self.storage,
            host=(host := Host(engine, settings.node_labels, settings.http_address)),
            policy=policy,
            groups=PodGroups(settings.instance, settings.engine, host.machine),
            links=self.discovery.links,
        )
        self.room = Room(host.machine)
        self.records = Records(store, self._counted, self.roster.poke)
        self.sampler = Sampler(
            lambda: containers_of(self.roster), balancer.served, self._sums, period=settings.autoscale_seconds
        )
        self.top = Top(self.roster, self.sampler, self.objects.services, host.machine, self.room.taken)
        self.autoscalers = Autoscalers(
            self.objects, self.roster, self.sampler, store, self.events, period=settings.autoscale_seconds
        )
        self._refresher = Refresher(self._creation, self.events)
        self.evictor = Evictor(settings.instance, engine, self.roster.all, self._evict)
        self._courses: dict[Key, _Course] = {}
        self._served: dict[Key, Service] = {}
        self._empty: set[str] = set()
        self._stopping = threading.Event()
        around = Surroundings(
            instance=settings.instance,
            engine=engine,
            balancer=balancer,
            roster=self.roster,
            revision_of=self._revision_of,
            starts=threading.Semaphore(PARALLEL_STARTS),
            creation=self._creation,
            events=self.events,
            room=self.room,
            met=self.discovery.met,
            drained=self.records.drained,
            may_start_again=lambda replica: not replica.job or self.jobs.may_start_again(replica),
        )
        self._keepers = Keepers(around)
        self.jobs = Jobs(self.objects, store, self.roster, self._keepers, events=self.events, emptied=self._empty.add)
        self.crons = Crons(self.objects, self.jobs, store, self.events)
        self.watch = EngineWatch(settings.instance, engine, self.roster, self._keepers.get)
        for replica in self._remembered():
            # How they ended and what they wrote is told from the first moment on, whether the engine answers or not.
            if replica.job or replica.pod:
                self.roster.add(replica)
        self._loop = threading.Thread(target=self._run, name="controller", daemon=True)

    def start(self) -> None:
        """Take over what runs, and begin; returns at once."""
        self._loop.start()

    def stop(self) -> None:
        """Stop deciding; every replica runs on."""
        self._stopping.set()
        self.roster.poke()
        self.watch.stop()
        keepers = self._keepers.all()
        for keeper in keepers:
            keeper.leave()
        self.room.wake()
        self.autoscalers.stop()
        self.evictor.stop()
        self._loop.join(timeout=5)
        for keeper in keepers:
            keeper.join(timeout=1)
        self._save_counters()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def status(self, namespace: str, name: str) -> DeploymentStatus:
        """How a Deployment stands now; raises NotFound."""
        return self._status(self.objects.deployment(namespace, name))

    def statuses(self, namespace: str | None) -> tuple[DeploymentStatus, ...]:
        """How all Deployments stand, or those of one namespace."""
        held = sorted(self.objects.deployments(), key=lambda item: (item.deployment.namespace, item.deployment.name))
        return tuple(self._status(item) for item in held if namespace in (None, item.deployment.namespace))

    def pod_status(self, namespace: str, name: str) -> PodStatus:
        """How a pod that is no Deployment's stands now; raises NotFound."""
        return self._pod_status(self.objects.pod(namespace, name))

    def pod_statuses(self, namespace: str | None) -> tuple[PodStatus, ...]:
        """How all of them stand, or those of one namespace, by name."""
        held = sorted(self.objects.pods(), key=lambda item: (item.pod.namespace, item.pod.name))
        return tuple(self._pod_status(item) for item in held if namespace in (None, item.pod.namespace))

    def _pod_status(self, held: HeldPod) -> PodStatus:
        replica = self.roster.get(pod_replica(held.pod.namespace, held.pod.name))
        own = replica if replica is not None and replica.pod == held.pod.name else None
        return pod_status(held.pod, own, deleting=held.deleting)

    def views(self, kind: str | None, namespace: str | None) -> Iterable[ObjectView]:
        """The objects as they stand, as text."""
        return object_views(self._store, kind, namespace)

    def revisions(self, namespace: str, name: str) -> tuple[RevisionStatus, ...]:
        """A Deployment's templates, the oldest first; raises NotFound."""
        held = self.objects.deployment(namespace, name)
        return revisions(held, self._replicas_of(held))

    def counters(self, namespace: str, service: str) -> ServiceCounters:
        """What was counted for a Service; zeros for one that nobody routes to. Raises NotFound."""
        found = self.objects.service(namespace, service)
        return self.balancer.counters(*(backend_of(found, port) for port in found.ports))

    def _counted(self, namespace: str, template: PodTemplate) -> dict[Way, ServiceCounters]:
        """What was counted for the Services that lead to a template, and that the balancer serves."""
        bound, ingresses = self.discovery.bound(), self.objects.ingresses()
        return {
            way: self.balancer.counters(*names)
            for service in self.objects.services()
            if leads_to(service, namespace, template)
            for way, names in ways(wanted_backends([service], (), bound, ingresses), service.name).items()
        }

    def _sums(self) -> dict[Key, ServiceCounters]:
        return {
            (each.namespace, each.name): self.balancer.sums(*(backend_of(each, port) for port in each.ports))
            for each in self.objects.services()
        }

    def services(self, namespace: str | None) -> tuple[ServiceStatus, ...]:
        """How all Services stand, or those of one namespace."""
        found = sorted(self.objects.services(), key=lambda item: (item.namespace, item.name))
        replicas = self.roster.all()
        return tuple(
            replace(
                self.discovery.status(item, replicas),
                served=self._served.get((item.namespace, item.name)) == item,
            )
            for item in found
            if namespace in (None, item.namespace)
        )

    def _status(self, held: Held) -> DeploymentStatus:
        now = steady()
        replicas = self._replicas_of(held)
        course = self._courses.get(_key(held)) or _Course(_first_progress(held, count(held, replicas, now), now))
        error = self.watch.error or self.balancer.error
        return deployment_status(
            held,
            replicas,
            self.objects.services(),
            course.progress,
            course.observed_generation,
            error.message if error else "",
            now,
        )

    def _run(self) -> None:
        if not self._adopt_patiently():
            return
        seen = 0
        while not self._stopping.is_set():
            began = steady()
            try:
                self._look()
            except Exception:
                log.exception("look failed")
                self._stopping.wait(LOOP_SECONDS)
            # A quarter of the time at most, however much changes: what starts needs the processor, too.
            self._stopping.wait(min(BREATH * (steady() - began), LONGEST_BREATH))
            soon = self.balancer.settling or self.records.closing
            seen = self.roster.wait(seen, SETTLING_SECONDS if soon else self.jobs.pause(LOOP_SECONDS))

    def _look(self) -> None:
        """One look at everything."""
        services = self.objects.services()
        self._empty |= self.discovery.sync(services, self.roster.all())
        self._sync_balancer(services)
        for held in self.objects.deployments():
            self._steer(held)
        for pod in self.objects.pods():
            self._steer_pod(pod)
        self.crons.sync()
        self.jobs.sync()
        self._refresher.sync(self.objects.config_version, self._running())
        self._finish_claims()
        self.objects.finish_namespaces()
        self._keepers.prune()
        self._remove_networks()

    def _sync_balancer(self, placed: Iterable[Service]) -> None:
        """Have it serve what is wanted now; `placed` are the Services that were given their addresses before."""
        bound, ingresses = self.discovery.bound(), self.objects.ingresses()
        asked: list[tuple[Service, tuple[Backend, ...]]] = []

        def wanted() -> list[Backend]:
            replicas = self.roster.all()
            asked[:] = [(each, wanted_backends([each], replicas, bound, ingresses)) for each in self.objects.services()]
            return [backend for _, backends in asked for backend in backends]

        try:
            up = self.balancer.sync(wanted)
        except BalancerError as error:
            log.warning("balancer not in step", extra={"error": str(error)})
            self._served = {}
            return
        ready = {(each.namespace, each.name): each for each in placed} if self.balancer.error is None else {}
        self._served = {
            key: each
            for each, backends in asked
            if ready.get(key := (each.namespace, each.name)) == each and all(has_all(item, up) for item in backends)
        }
        self._save_counters()
        services = self.objects.services()
        by_tls = self.settings.public is not None
        self.entrances.report(services, self.balancer.certificate_problem, by_tls=by_tls)
        for replica in self.roster.all():
            if replica.ready and not replica.admitted and places(services, replica, bound, ingresses) <= up:
                self.roster.update(replica.name, lambda now: now.ready and now.running, admitted=True)

    def _steer(self, held: Held) -> None:
        now = steady()
        replicas = self._replicas_of(held)
        if held.deleting and not replicas:
            self.objects.finish_delete(held)
            self._store.drop_note(_size_note(held))
            self._courses.pop(_key(held), None)
            self.records.forget(*_key(held))
            self._empty.add(held.deployment.namespace)
            return
        counts = count(held, replicas, now)
        course = self._courses.get(_key(held)) or self._begin_course(held, counts, now)
        course.progress = course.progress.step(counts, held.generation, now)
        if is_complete(held, counts) or held.deployment.paused:
            course.progress = replace(course.progress, at=now)
        stalled = phase_of(held, counts, course.progress, now) is RolloutPhase.STALLED
        self.records.look(
            held.deployment,
            held.generation,
            replicas,
            available=counts.available,
            complete=is_complete(held, counts),
            stalled=(lambda: (self._status(held).message, self._last_words(held, replicas))) if stalled else None,
        )
        observed = [self._observed(held, replica, now) for replica in replicas]
        desired = _desired(held, course.sized_for)
        actions = decide(desired, observed)
        for line in tell(actions, observed, held.deployment.name):
            self.events.say("Deployment", *_key(held), "ScalingReplicaSet", line)
        for action in actions:
            self._act(held, action)
        if desired is not None and desired.size != course.sized_for:
            course.sized_for = desired.size
            self._store.put_note(_size_note(held), json.dumps(asdict(desired.size)))
        course.observed_generation = held.generation
        self._trim_history(held, replicas)

    def _last_words(self, held: Held, replicas: Sequence[Replica]) -> tuple[str, ...]:
        """Of a new replica that is not ready: what it wrote as it ended, else what it writes now, with stars for its
        Secrets."""
        new = [item for item in replicas if item.template_hash == held.hash and not (item.ready or item.terminating)]
        for replica in new:
            if replica.last_log:
                return replica.last_log
        for replica in new:
            keeper = self._keepers.get(replica.name)
            if keeper is not None and replica.running and replica.container_id:
                with contextlib.suppress(EngineError):
                    return keeper.last_words()
        return ()

    def _steer_pod(self, held: HeldPod) -> None:
        pod = held.pod
        name = pod_replica(pod.namespace, pod.name)
        replica = self.roster.get(name)
        if replica is not None and replica.pod != pod.name:
            # A Deployment's replica, whose name has a dot too, may be called so: it is awaited until it is gone.
            if held.deleting:
                self.objects.finish_delete_pod(pod.namespace, pod.name)
        elif held.deleting and replica is None:
            self.objects.finish_delete_pod(pod.namespace, pod.name)
            self._empty.add(pod.namespace)
        elif held.deleting:
            self._keepers.end(name)
        elif replica is None:
            self._keepers.begin(
                Replica(
                    name=name,
                    namespace=pod.namespace,
                    deployment="",
                    template_hash=template_hash(pod.template),
                    template=pod.template,
                    created_at=time.time(),
                    pod=pod.name,
                )
            )
        elif replica.template != pod.template:
            # Its labels, annotations or gates, for nothing else of a pod can change.
            self.roster.update(name, template=pod.template, template_hash=template_hash(pod.template))
            # Without a gate it may have been waiting for just that.
            self.room.wake()

    def _begin_course(self, held: Held, counts: Counts, now: float) -> _Course:
        """What a controller before this one remembered of the Deployment's size is remembered."""
        sized = self._store.note(_size_note(held))
        course = _Course(_first_progress(held, counts, now), sized_for=Size(**json.loads(sized)) if sized else None)
        self._courses[_key(held)] = course
        return course

    def _act(self, held: Held, action: Action) -> None:
        if isinstance(action, Start):
            for _ in range(action.count):
                self._begin(held, action.template_hash)
            return
        self._keepers.end(action.name)

    def _begin(self, held: Held, template_hash: str) -> None:
        deployment = held.revisions[template_hash].deployment
        replica = Replica(
            name=self._unused(f"{deployment.name}-{template_hash}-"),
            namespace=deployment.namespace,
            deployment=deployment.name,
            template_hash=template_hash,
            template=deployment.template,
            created_at=time.time(),
        )
        self._keepers.begin(replica)

    def _unused(self, base: str) -> str:
        """A name that no replica has, a pod of its own neither."""
        name = generated(base)
        while self.roster.get(name) is not None:
            name = generated(base)
        return name

    def _observed(self, held: Held, replica: Replica, now: float) -> Observed:
        revision = held.revisions.get(replica.template_hash)
        return Observed(
            name=replica.name,
            template_hash=replica.template_hash,
            revision=revision.number if revision else 0,
            created_at=replica.created_at,
            ready=replica.ready,
            available=replica.available(held.deployment.min_ready_seconds, now),
            terminating=replica.terminating,
            restarts=replica.backoff.restarts,
        )

    def _trim_history(self, held: Held, replicas: Sequence[Replica]) -> None:
        used = {replica.template_hash for replica in replicas} | {held.hash}
        idle = sorted((item for item in held.revisions.values() if item.hash not in used), key=lambda item: item.number)
        for revision in idle[: max(0, len(idle) - held.deployment.revision_history_limit)]:
            self.objects.drop_revision(held, revision)

    def _finish_claims(self) -> None:
        """A claim that is being deleted stays while something uses it; then its data go where that is asked for."""
        ending = [held.claim for held in self.objects.claims() if held.deleting]
        if not ending:
            return
        living = [item for item in self.roster.all() if not item.done]
        used = {(item.namespace, claim) for item in living for claim in item.template.claims}
        used |= self.jobs.claims()
        for claim in ending:
            if (claim.namespace, claim.name) in used:
                continue
            try:
                if not claim.delete or self.storage.remove_claim(claim.namespace, claim.name):
                    self.objects.finish_delete_claim(claim.namespace, claim.name)
            except EngineError as error:
                log.warning("volume not removed", extra={"claim": claim.name, "error": str(error)})

    def _running(self) -> list[Running]:
        """Everything whose container runs, with what it was made from."""
        return [
            Running(
                who=Identity(
                    instance=self.settings.instance,
                    namespace=replica.namespace,
                    deployment=replica.deployment,
                    replica=replica.name,
                    template_hash=replica.template_hash,
                    revision=0,
                    pod=replica.pod,
                    job=replica.job,
                ),
                template=replica.template,
                container_id=replica.container_id,
            )
            for replica in self.roster.all()
            if replica.running and replica.container_id
        ]

    def _adopt_patiently(self) -> bool:
        """Whether what runs was taken over; tried until the engine answers or the controller is stopped."""
        pause = 0.5
        while not self._stopping.is_set():
            try:
                self._adopt()
            except EngineError as error:
                log.warning("engine does not answer", extra={"error": str(error)})
                self.watch.error = error
                self._stopping.wait(pause)
                pause = min(pause * 2, 10.0)
            else:
                self.watch.start()
                self.autoscalers.start()
                self.evictor.start()
                return True
        return False

    def _adopt(self) -> None:
        """Every replica that the store knows gets its keeper back; containers that belong to none of them go."""
        states = {state.id: state for state in self.engine.containers(self.settings.instance)}
        keepers = [keeper for replica in self._remembered() if (keeper := self._take_over(replica, states))]
        for state in states.values():
            if state.is_previous and self.roster.get(state.labels.get(Label.REPLICA, "")) is not None:
                continue
            log.warning("removing a container that nothing owns", extra={"container": state.id[:12]})
            self.engine.remove(state.id)
        self._creation.files.sweep({replica.name for replica in self.roster.all() if not replica.done})
        self._creation.sweep({replica.name for replica in self.roster.all()})
        for keeper in keepers:
            keeper.start()

    def _remembered(self) -> list[Replica]:
        """Every replica as the store has it; what is of nothing that is known is forgotten."""
        templates = {
            (*_key(held), revision.hash): revision.deployment.template
            for held in self.objects.deployments()
            for revision in held.revisions.values()
        }
        pods = {pod_replica(held.pod.namespace, held.pod.name): held.pod.template for held in self.objects.pods()}
        pods |= self.jobs.templates()
        known = []
        for stored in self._store.replicas():
            template = templates.get((stored.namespace, stored.deployment, stored.hash)) or pods.get(stored.name)
            if template is None:
                log.warning("replica of no known revision", extra={"replica": stored.name})
                self._store.drop_replica(stored.name)
            else:
                known.append(from_stored(stored, template))
        return known + self.jobs.known_pods([replica.name for replica in known])

    def _take_over(self, remembered: Replica, states: dict[str, ContainerState]) -> Keeper | None:
        """Take from `states` what is the replica's, and see to it from now on; None where there is nothing to see
        to."""
        replica, dead, now = remembered, [], steady()
        leads = remembered.sandbox if remembered.template.is_group else remembered.container_id
        lead = states.get(leads)
        for record in remembered.containers:
            state = states.pop(record.container_id, None)
            if state is not None and state.running:
                replica = replica.with_record(
                    record.name, now, running=True, pid=state.pid, started_at=state.started_at
                )
                continue
            replica = replica.with_record(record.name, now, running=False, started=False, ready=False, pid=0)
            never_started = state is not None and state.started_at is None
            if record.unsettled and not never_started:
                dead.append(record.container_id)
        states.pop(remembered.sandbox, None)
        address = lead.address if lead is not None and lead.running else ""
        # One that became ready as the controller before ended was not seen by the balancer: a rollout waits for that.
        self.roster.add(replace(replica, address=address))
        if replica.done and not replica.terminating:
            return None
        if remembered.placed:
            self.room.hold(remembered.name, remembered.template)
        keeper = self._keepers.make(replica)
        for container_id in dead:
            keeper.died(container_id)
        if replica.halted:
            keeper.halt()
        if replica.terminating:
            keeper.terminate()
        return keeper

    def _evict(self, replica: Replica, reason: str) -> None:
        keeper = self._keepers.get(replica.name)
        if keeper is not None:
            log.info("evicting", extra={"replica": replica.name})
            keeper.evict(reason)

    def _remove_networks(self) -> None:
        """The network of a namespace goes with its last Deployment and Service, and the end of its last Job."""
        for namespace in tuple(self._empty):
            used = any(held.deployment.namespace == namespace for held in self.objects.deployments())
            used = used or self.jobs.active_in(namespace) or self.discovery.needs(namespace)
            used = used or any(held.pod.namespace == namespace for held in self.objects.pods())
            try:
                name = network_name(self.settings.instance, namespace)
                if used or self.engine.remove_network(name, self.settings.instance):
                    self._empty.discard(namespace)
                    if not used:
                        self.discovery.met(namespace, None)
            except EngineError as error:
                log.warning("network not removed", extra={"namespace": namespace, "error": str(error)})

    def _replicas_of(self, held: Held) -> tuple[Replica, ...]:
        key = _key(held)
        return tuple(replica for replica in self.roster.all() if (replica.namespace, replica.deployment) == key)

    def _revision_of(self, replica: Replica) -> int:
        try:
            held = self.objects.deployment(replica.namespace, replica.deployment)
        except NotFound:
            return 0
        revision = held.revisions.get(replica.template_hash)
        return revision.number if revision else 0

    def _save_counters(self) -> None:
        text = self.balancer.saved_counters()
        if text is not None:
            self._store.put_note(COUNTERS_NOTE, text)


def _key(held: Held) -> Key:
    return held.deployment.namespace, held.deployment.name


def _desired(held: Held, sized_for: Size | None) -> Desired | None:
    if held.deleting:
        return None
    deployment = held.deployment
    surge, unavailable = bounds(deployment)
    return Desired(
        replicas=deployment.replicas,
        template_hash=held.hash,
        max_surge=surge,
        max_unavailable=unavailable,
        recreate=deployment.recreate,
        paused=deployment.paused,
        sized_for=sized_for,
    )


def _size_note(held: Held) -> str:
    return f"size {held.deployment.namespace}/{held.deployment.name}"


def _first_progress(held: Held, counts: Counts, now: float) -> Progress:
    return Progress(at=now, generation=held.generation, counts=counts)

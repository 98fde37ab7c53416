"""The autoscalers as they go: each looks at its Deployment every fifteen seconds, in one thread for all."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runtime.autoscale.calculate import Asked, Pod, Reading
from runtime.autoscale.reconcile import Known, Outcome, Said, absent, not_rescaled, reconcile, rescaled
from runtime.clock import steady
from runtime.errors import NotFound, RuntimeFailure
from runtime.events import Recorder
from runtime.figures import AutoscalerStatus, MetricStatus
from runtime.held import Held
from runtime.manifest.autoscaler import Autoscaler, Metric, Source
from runtime.manifest.resources import Resources
from runtime.metrics.sampler import Sampler
from runtime.objects import Objects
from runtime.roster import Replica, Roster
from runtime.store import Store, autoscaler_note

log = logging.getLogger(__name__)

NOTICE_SECONDS = 1.0
"""Until an autoscaler that is new, or gone, is noticed."""
KIND = "HorizontalPodAutoscaler"
Key = tuple[str, str]


@dataclass(slots=True)
class _Course:
    """What is remembered of an autoscaler; the times outlive the controller."""

    created_at: float
    last_scaled_at: float | None = None
    known: Known = field(default_factory=Known)


class Autoscalers:
    """Scales Deployments as `Objects.scale` does. `period` is the seconds between two looks."""

    def __init__(
        self,
        objects: Objects,
        roster: Roster,
        sampler: Sampler,
        store: Store,
        events: Recorder,
        *,
        period: float,
        now: Callable[[], float] = steady,
    ) -> None:
        self._objects = objects
        self._roster = roster
        self._sampler = sampler
        self._store = store
        self._events = events
        self._period = period
        self._now = now
        self._courses: dict[Key, _Course] = {}
        self._turned: dict[str, tuple[bool, float]] = {}
        self._due: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autoscalers", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Scale nothing any more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def sync(self) -> None:
        """Look, where that is due. Where there is no autoscaler that costs nothing."""
        specs = self._objects.autoscalers()
        for key in [key for key in self._courses if key not in {_key(spec) for spec in specs}]:
            self._store.drop_note(autoscaler_note(*key))
            del self._courses[key]
        if not specs:
            self._due = None
            self._turned.clear()
            return
        for spec in specs:
            self._course(spec)
        now = self._now()
        if self._due is None:
            # A figure is made of two samples.
            self._sampler.sample()
            self._due = now + self._period
        elif now >= self._due:
            # Somebody else may have asked just now: the difference to that would say little.
            self._sampler.sample(self._period / 2)
            self._look(specs)
            self._due = now + self._period

    def owners(self, namespace: str, deployment: str) -> tuple[str, ...]:
        """The autoscalers of a Deployment, by name."""
        specs = self._objects.autoscalers()
        return tuple(sorted(spec.name for spec in specs if (spec.namespace, spec.target) == (namespace, deployment)))

    def statuses(self, namespace: str | None) -> tuple[AutoscalerStatus, ...]:
        """How all of them stand, or those of one namespace, by name."""
        specs = [spec for spec in self._objects.autoscalers() if namespace in (None, spec.namespace)]
        return tuple(map(self._status, sorted(specs, key=_key)))

    def _run(self) -> None:
        while not self._stopping.wait(min(NOTICE_SECONDS, self._period)):
            try:
                self.sync()
            except Exception:
                log.exception("autoscalers failed")

    def _look(self, specs: Sequence[Autoscaler]) -> None:
        now, replicas = self._now(), self._roster.all()
        self._notice(replicas, now)
        by_owner: dict[Key, list[Replica]] = {}
        for replica in replicas:
            by_owner.setdefault((replica.namespace, replica.deployment), []).append(replica)
        rivals: dict[Key, list[str]] = {}
        for spec in sorted(specs, key=_key):
            rivals.setdefault((spec.namespace, spec.target), []).append(f"{spec.namespace}/{spec.name}")
        for spec in specs:
            if self._stopping.is_set():
                return
            target = (spec.namespace, spec.target)
            others = rivals[target] if len(rivals[target]) > 1 else []
            self._step(spec, by_owner.get(target, []), others, now)

    def _step(self, spec: Autoscaler, replicas: Sequence[Replica], rivals: Sequence[str], now: float) -> None:
        course = self._course(spec)
        held = self._target(spec)
        if held is None:
            outcome, current = absent(course.known, spec.target), 0
        else:
            current = held.deployment.replicas
            outcome = reconcile(
                spec,
                course.known,
                current,
                [self._pod(replica) for replica in replicas],
                [self._readings(metric, replicas) for metric in spec.metrics],
                now,
                rivals=rivals,
                selector=",".join(f"{name}={value}" for name, value in sorted(held.deployment.selector.items())),
            )
        for said in outcome.events:
            self._say(spec, said)
        course.known = outcome.known
        if outcome.replicas is not None:
            self._scale(spec, course, outcome, current, now)

    def _scale(self, spec: Autoscaler, course: _Course, outcome: Outcome, current: int, now: float) -> None:
        assert outcome.replicas is not None
        try:
            self._objects.scale(spec.namespace, spec.target, outcome.replicas, instead_of=current)
        except RuntimeFailure as error:
            course.known, said = not_rescaled(outcome, error.message)
        else:
            course.known, said = rescaled(spec, outcome, current, now)
            course.last_scaled_at = now
            self._keep(_key(spec), course)
            log.info("scaled", extra={"autoscaler": spec.name, "replicas": outcome.replicas})
        self._say(spec, said)

    def _say(self, spec: Autoscaler, said: Said) -> None:
        self._events.say(KIND, spec.namespace, spec.name, said.reason, said.message, warning=said.warning)

    def _target(self, spec: Autoscaler) -> Held | None:
        try:
            held = self._objects.deployment(spec.namespace, spec.target)
        except NotFound:
            return None
        return None if held.deleting else held

    def _notice(self, replicas: Iterable[Replica], now: float) -> None:
        """Since when each is as ready as it is; of one that was never seen to be ready, since it began."""
        turned = {}
        for replica in replicas:
            before = self._turned.get(replica.name)
            if replica.ready:
                turned[replica.name] = (True, replica.ready_since or now)
            elif before is None:
                turned[replica.name] = (False, replica.created_at)
            else:
                turned[replica.name] = (False, now) if before[0] else before
        self._turned = turned

    def _pod(self, replica: Replica) -> Pod:
        ready, since = self._turned[replica.name]
        return Pod(
            name=replica.name,
            started_at=replica.created_at,
            since=since,
            ready=ready,
            pending=replica.started_at is None,
            leaving=replica.terminating,
            asked=tuple(_asked(spec.name, spec.resources) for spec in replica.template.serving_containers),
            whole=_asked("", replica.template.resources),
        )

    def _readings(self, metric: Metric, replicas: Iterable[Replica]) -> Mapping[str, Reading]:
        found = {replica.name: self._reading(metric, replica) for replica in replicas}
        return {name: reading for name, reading in found.items() if reading is not None}

    def _reading(self, metric: Metric, replica: Replica) -> Reading | None:
        if metric.source is Source.PODS:
            _, each_second = self._sampler.requests(replica.name)
            return None if each_second is None else Reading(value=round(each_second * 1000))
        names = [spec.name for spec in replica.template.serving_containers]
        rates = [
            self._sampler.rate(replica.record(name).container_id) for name in names if metric.container in ("", name)
        ]
        known = [rate for rate in rates if rate is not None]
        if not known or len(known) < len(rates):
            return None
        values = (rate.cpu if metric.name == "cpu" else rate.memory * 1000 for rate in known)
        return Reading(value=sum(values), at=known[0].at, window=known[0].window)

    def _course(self, spec: Autoscaler) -> _Course:
        key = _key(spec)
        if key not in self._courses:
            saved = self._store.note(autoscaler_note(*key))
            if saved is None:
                self._keep(key, _Course(created_at=self._now()))
            else:
                self._courses[key] = _Course(**json.loads(saved))
        return self._courses[key]

    def _keep(self, key: Key, course: _Course) -> None:
        times = {"created_at": course.created_at, "last_scaled_at": course.last_scaled_at}
        self._store.put_note(autoscaler_note(*key), json.dumps(times))
        self._courses[key] = course

    def _status(self, spec: Autoscaler) -> AutoscalerStatus:
        course = self._courses.get(_key(spec)) or _Course(created_at=self._now())
        held, known = self._target(spec), course.known
        found = known.proposals if len(known.proposals) == len(spec.metrics) else (None,) * len(spec.metrics)
        return AutoscalerStatus(
            name=spec.name,
            namespace=spec.namespace,
            target=spec.target,
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            current=held.deployment.replicas if held else None,
            desired=known.desired,
            metrics=tuple(
                MetricStatus(
                    source=str(metric.source),
                    name=metric.name,
                    container=metric.container,
                    target_utilization=metric.utilization,
                    target_average=metric.average,
                    utilization=proposal.utilization if proposal else None,
                    average=proposal.average if proposal else None,
                )
                for metric, proposal in zip(spec.metrics, found, strict=True)
            ),
            conditions=known.conditions,
            created_at=course.created_at,
            last_scaled_at=course.last_scaled_at,
        )


def _key(spec: Autoscaler) -> Key:
    return spec.namespace, spec.name


def _asked(container: str, said: Resources) -> Asked:
    memory = None if said.memory_request is None else said.memory_request * 1000
    return Asked(container=container, cpu=said.cpu_request, memory=memory)

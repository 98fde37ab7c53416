"""The one who keeps the records of rollouts: they are begun with the change, and looked after by the controller's loop,
so that each has its figures whoever watched, and over a controller that is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.balancer.config import Backend
from runtime.clock import steady
from runtime.errors import NotFound
from runtime.manifest import reload
from runtime.manifest.model import Deployment, PodTemplate, Protocol
from runtime.manifest.template import template_hash
from runtime.model import ServiceCounters
from runtime.rollout import SUMS, Outcome, RolloutRecord, Seen, Traffic, advance, begun, images_of, since
from runtime.roster import Replica
from runtime.store import Store, StoredObject

KEPT = 20
"""Records a Deployment; its revisions are ten, unless it says otherwise."""
Key = tuple[str, str]
Way = tuple[str, str]
"""A Service by name, and how it is served: ``http`` or ``tcp``."""
Counted = Mapping[Way, ServiceCounters]
Trouble = tuple[str, tuple[str, ...]]
"""Why a rollout comes no further, and the last words of a replica in trouble."""
Sample = Callable[[str, PodTemplate], Counted]
"""What was counted so far for each Service of a namespace that leads to a template."""


def begin_record(
    store: Store, before: StoredObject | None, stored: StoredObject, after: Deployment, *, by_manifest: bool
) -> None:
    """Write the record of a change of a Deployment, with the change."""
    known = reload(before.data) if before is not None and not before.deleting else None
    assert known is None or isinstance(known, Deployment)
    name = template_hash(after.template)
    record = begun(
        known,
        after,
        generation=stored.generation,
        revision=store.revisions(stored.namespace, stored.name)[-1].number,
        hashes=(template_hash(known.template) if known else "", name),
        by_manifest=by_manifest,
        now=steady(),
    )
    if record is not None:
        state = _Open(record=record).as_json()
        store.add_rollout(stored.namespace, stored.name, state, KEPT)


def ways(backends: Sequence[Backend], service: str) -> dict[Way, tuple[str, ...]]:
    """The backends of a Service, by how they are served."""
    found: dict[Way, tuple[str, ...]] = {}
    for backend in backends:
        way = (service, "tcp" if backend.protocol is Protocol.TCP else "http")
        found[way] = (*found.get(way, ()), backend.name)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Open:
    """A record, and what was counted when it began: None before the first look at it. `serving` once there was a
    replica to serve anybody: what found none before lost nothing by this change."""

    record: RolloutRecord
    baseline: Mapping[str, Mapping[str, int]] | None = None
    serving: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"record": self.record.as_json(), "baseline": self.baseline, "serving": self.serving}

    @classmethod
    def from_json(cls, number: int, raw: Mapping[str, Any]) -> _Open:
        record = replace(RolloutRecord.from_json(raw["record"]), number=number)
        return cls(record=record, baseline=raw["baseline"], serving=raw["serving"])

    def counting_from(self, counted: Counted) -> _Open:
        """The same, with what was counted until now left out."""
        sums = {_text(way): {name: getattr(each, name) for name in SUMS} for way, each in counted.items()}
        return replace(self, baseline=sums)

    def with_traffic(self, counted: Counted) -> RolloutRecord:
        """The record with what was counted since it began."""
        rows = (
            Traffic(service=way[0], protocol=way[1], **since((self.baseline or {}).get(_text(way)), each))
            for way, each in sorted(counted.items(), key=lambda item: item[0])
        )
        return replace(self.record, traffic=tuple(rows))


class Records:
    """The records of all Deployments. `look` is for the loop; the rest is for any thread."""

    def __init__(
        self, store: Store, sample: Sample, poke: Callable[[], None], now: Callable[[], float] = steady
    ) -> None:
        self._store = store
        self._now = now
        self._sample = sample
        self._poke = poke
        self._lock = threading.RLock()
        self._open: dict[Key, _Open] = {}
        self._templates: dict[Key, PodTemplate] = {}
        self._generations: dict[Key, int] = {}
        self._drained: dict[Key, set[str]] = {}

    def look(
        self,
        deployment: Deployment,
        generation: int,
        replicas: Sequence[Replica],
        *,
        available: int,
        complete: bool,
        stalled: Callable[[], Trouble] | None,
    ) -> None:
        """See how a Deployment's rollout stands, before anything is done for it. `stalled` gives the reason where it is
        that."""
        key = (deployment.namespace, deployment.name)
        with self._lock:
            self._templates[key] = deployment.template
            if self._generations.get(key) != generation and not self._load(key, generation):
                return
            asked = self._open.get(key)
        if asked is None:
            return
        # The engine may take its time, and who stops a replica or asks for a record is not to wait for it.
        message, words = self._trouble(asked.record, stalled)
        with self._lock:
            known = self._open.get(key)
            if known is None:
                return
            now = self._now()
            leaving = {item.name for item in replicas if item.terminating}
            if key in self._drained:
                # Of those that are gone nothing is asked any more: a rollout may stand for weeks while others scale.
                self._drained[key] &= {item.name for item in replicas}
            seen = Seen(
                complete=complete,
                stalled=stalled is not None,
                message=message,
                words=words,
                replicas=replicas,
                draining=frozenset(leaving - self._drained.get(key, set())),
            )
            self._put(key, self._stepped(key, known, seen, available, now))

    def _trouble(self, record: RolloutRecord, stalled: Callable[[], Trouble] | None) -> Trouble:
        """Asked for once: it costs the engine a question."""
        if stalled is None:
            return "", ()
        return (record.message, record.last_log) if record.outcome is Outcome.STALLED else stalled()

    @property
    def closing(self) -> bool:
        """Whether a record is about to be closed: the next look is to come soon."""
        with self._lock:
            return any(item.record.done_at is not None for item in self._open.values())

    def _stepped(self, key: Key, known: _Open, seen: Seen, available: int, now: float) -> _Open:
        step = known
        if step.baseline is None:
            old = [item for item in seen.replicas if item.template_hash != step.record.hash and not item.terminating]
            step = replace(step, record=replace(step.record, images_before=images_of(old)), serving=available > 0)
            step = step.counting_from(self._counted(key))
        elif not step.serving and available:
            step = replace(step.counting_from(self._counted(key)), serving=True)
        step = replace(step, record=advance(step.record, seen, now))
        if step.record.ended or step.record.outcome is not known.record.outcome:
            step = replace(step, record=step.with_traffic(self._counted(key)))
        return step

    def drained(self, replica: Replica, awaited: int, left: int) -> None:
        """A replica has no request any more, or its time is over: `awaited` were in flight when it was taken out,
        `left` are so still."""
        key = (replica.namespace, replica.deployment)
        with self._lock:
            known = self._open.get(key)
            if known is not None:
                self._drained.setdefault(key, set()).add(replica.name)
                record = replace(
                    known.record,
                    drained=known.record.drained + awaited,
                    undrained=known.record.undrained + left,
                    drained_at=self._now(),
                )
                self._put(key, replace(known, record=record))
        self._poke()

    def note(self, namespace: str, name: str, number: int, own: Mapping[str, Any]) -> None:
        """Add to a record what its watcher has to say; one that is forgotten stays so."""
        key = (namespace, name)
        with self._lock:
            for found, raw in self._store.rollouts(namespace, name):
                if found == number:
                    known = _Open.from_json(found, raw)
                    known = replace(known, record=replace(known.record, own=dict(own)))
                    self._store.put_rollout(number, known.as_json())
                    if key in self._open and self._open[key].record.number == number:
                        self._open[key] = known

    def of(self, namespace: str, name: str) -> tuple[RolloutRecord, ...]:
        """The records of a Deployment, the newest last; with what was counted until now where one goes on."""
        with self._lock:
            counted: Counted | None = None
            found = []
            for number, raw in self._store.rollouts(namespace, name):
                stored = _Open.from_json(number, raw)
                record = stored.record
                if not record.ended and stored.baseline is not None:
                    counted = self._counted((namespace, name)) if counted is None else counted
                    record = stored.with_traffic(counted)
                found.append(record)
            return tuple(found)

    def newest(self, namespace: str, name: str) -> RolloutRecord:
        """The latest of them. Raises NotFound (`no-rollout`)."""
        found = self.of(namespace, name)
        if not found:
            raise NotFound(
                "no-rollout",
                f"Deployment {namespace}/{name}",
                "no rollout of it is on record",
                hint=f"imageforge rollout history deployment/{name} -n {namespace}",
            )
        return found[-1]

    def forget(self, namespace: str, name: str) -> None:
        """The Deployment is gone."""
        with self._lock:
            key = (namespace, name)
            self._open.pop(key, None)
            self._templates.pop(key, None)
            self._generations.pop(key, None)
            self._drained.pop(key, None)

    def _load(self, key: Key, generation: int) -> bool:
        """Take up the newest record, and end those before it. False where it is of a change that comes with the next
        look."""
        rows = [_Open.from_json(number, raw) for number, raw in self._store.rollouts(*key)]
        if rows and rows[-1].record.generation > generation:
            return False
        newest = rows[-1] if rows else None
        going = [item for item in rows[:-1] if not item.record.ended]
        if going:
            counted, now = self._counted(key), self._now()
            for each in going:
                done = each.record.switched_at is not None
                outcome = Outcome.COMPLETE if done else Outcome.SUPERSEDED
                record = each.with_traffic(counted) if each.baseline is not None else each.record
                ended = replace(each, record=replace(record, outcome=outcome, message="", ended_at=now))
                self._store.put_rollout(each.record.number, ended.as_json())
        self._generations[key] = generation
        if newest is None or newest.record.ended:
            self._open.pop(key, None)
        else:
            self._open[key] = newest
        return True

    def _counted(self, key: Key) -> Counted:
        template = self._templates.get(key)
        return self._sample(key[0], template) if template is not None else {}

    def _put(self, key: Key, after: _Open) -> None:
        if after != self._open.get(key):
            self._store.put_rollout(after.record.number, after.as_json())
            self._open[key] = after
        if after.record.ended:
            del self._open[key]
            self._drained.pop(key, None)
            self._poke()


def _text(way: Way) -> str:
    return "/".join(way)

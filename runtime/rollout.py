"""The record of a rollout: what changed, when each step was reached, and what was counted meanwhile; pure.

It is made with the change itself, whoever asked for it and whoever watches. A change of the template is one, and a
manifest that asks for another number of replicas; `scale` is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from runtime.manifest.model import (
    RELEASE_ANNOTATION,
    RESTARTED_ANNOTATION,
    ContainerSpec,
    Deployment,
    PodTemplate,
    app_of,
)
from runtime.model import ServiceCounters
from runtime.roster import Replica

CHANGED = "changed"
SUMS = ("requests", "failed", "retried", "redispatched", "errors_5xx")
"""The counters that only grow."""
COUNTED_AFTER = 0.5
"""Seconds for which requests are counted once all is done: what a new replica does with them is a part of the proof."""
LOG_LINES = 10
"""How many of the last lines of a replica that is in trouble are kept."""


class Outcome(StrEnum):
    """Where a rollout stands: under way; no nearer to its end for longer than its deadline, which may pass; done;
    another change came before its end."""

    RUNNING = "running"
    STALLED = "stalled"
    COMPLETE = "complete"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldChange:
    """A field of a Deployment, before and after; empty where it was or is not there. Of variables, arguments and all
    else that may hold a secret it says only ``changed``."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Traffic:
    """What the balancer counted for a Service during a rollout, of everybody's requests; of the `protocol` ``tcp``,
    connections. `failed` are those that no replica answered."""

    service: str
    protocol: str
    requests: int = 0
    failed: int = 0
    retried: int = 0
    redispatched: int = 0
    errors_5xx: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RolledReplica:
    """A new replica, as it stood when the record was closed."""

    name: str
    phase: str
    ready: bool
    restarts: int
    address: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutRecord:
    """One rollout of a Deployment.

    `change` is ``created`` or ``configured``; `images` and `images_before` are the ids of the images by container, as
    the engine has them. Times are Unix seconds, None for what was not reached: stored, the first new container started,
    the first one ready, requests go to new ones alone, the last request that an old one had is answered, nothing is
    left to do, and nothing is counted any more. `drained` counts what was in flight at old replicas when they were
    taken out, `undrained` what was so still when their time was over. `last_log` are the last lines of a new replica
    that is in trouble, with stars for its Secrets. `own` is what somebody who watched has to add, such as requests of
    his own. `number` grows with each record.
    """

    namespace: str
    name: str
    revision: int
    generation: int
    hash: str
    change: str
    stored_at: float
    replicas: int
    number: int = 0
    app: str = ""
    release: str = ""
    recreate: bool = False
    changes: tuple[FieldChange, ...] = ()
    outcome: Outcome = Outcome.RUNNING
    message: str = ""
    started_at: float | None = None
    ready_at: float | None = None
    switched_at: float | None = None
    drained_at: float | None = None
    done_at: float | None = None
    ended_at: float | None = None
    images: dict[str, str] = field(default_factory=dict)
    images_before: dict[str, str] = field(default_factory=dict)
    traffic: tuple[Traffic, ...] = ()
    drained: int = 0
    undrained: int = 0
    replica_list: tuple[RolledReplica, ...] = ()
    last_log: tuple[str, ...] = ()
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing is written to it any more."""
        return self.ended_at is not None

    def as_json(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> RolloutRecord:
        """The inverse of `as_json`; what a later version says beyond this is left out."""
        made: RolloutRecord = _known(
            cls,
            raw,
            outcome=Outcome(raw["outcome"]),
            changes=tuple(_known(FieldChange, item) for item in raw["changes"]),
            traffic=tuple(_known(Traffic, item) for item in raw["traffic"]),
            replica_list=tuple(_known(RolledReplica, item) for item in raw["replica_list"]),
            last_log=tuple(raw["last_log"]),
        )
        return made


def _known(kind: Any, raw: Mapping[str, Any], **better: Any) -> Any:
    names = {item.name for item in fields(kind)}
    return kind(**{**{key: value for key, value in raw.items() if key in names}, **better})


def begun(
    before: Deployment | None,
    after: Deployment,
    *,
    generation: int,
    revision: int,
    hashes: tuple[str, str],
    by_manifest: bool,
    now: float,
) -> RolloutRecord | None:
    """The record of a change that was just stored; None where it rolls nothing out. `hashes` are those of the templates
    before and after; `before` None is one that is new."""
    same_template = before is not None and hashes[0] == hashes[1]
    if same_template and (not by_manifest or (before is not None and before.replicas == after.replicas)):
        return None
    template = after.template
    return RolloutRecord(
        namespace=after.namespace,
        name=after.name,
        revision=revision,
        generation=generation,
        hash=hashes[1],
        change="created" if before is None else "configured",
        stored_at=now,
        replicas=after.replicas,
        app=app_of(template, after.name) if RELEASE_ANNOTATION in template.annotations else "",
        release=template.annotations.get(RELEASE_ANNOTATION, ""),
        recreate=after.recreate,
        changes=changes(before, after),
    )


def changes(before: Deployment | None, after: Deployment) -> tuple[FieldChange, ...]:
    """What a manifest changed, field by field: images and numbers as they are, of variables and files their names, and
    of everything else that it changed."""
    found = [*_images(before, after)]
    if before is None or before.replicas != after.replicas:
        found.append(_field("replicas", before.replicas if before else "", after.replicas))
    if before is None:
        return tuple(found)
    found += _containers(before.template, after.template)
    found += _names("annotation", before.template.annotations, after.template.annotations)
    found += _names("label", before.template.labels, after.template.labels)
    found += _names("volume", _by_name(before.template.volumes), _by_name(after.template.volumes))
    spoken = {"container", "others", "init", "annotations", "labels", "volumes"}
    found += _others(before.template, after.template, spoken)
    found += _others(before, after, {"template", "replicas", "generation", "labels", "annotations"})
    return tuple(found)


def _images(before: Deployment | None, after: Deployment) -> Iterable[FieldChange]:
    old = {spec.name: spec.image for spec in before.template.all_containers} if before else {}
    new = {spec.name: spec.image for spec in after.template.all_containers}
    single = len(new) == 1 and len(old) <= 1
    for name in {**new, **old}:
        if old.get(name) != new.get(name):
            yield _field("image" if single else f"image of {name}", old.get(name, ""), new.get(name, ""))


def _containers(before: PodTemplate, after: PodTemplate) -> Iterable[FieldChange]:
    old = {spec.name: spec for spec in before.all_containers}
    several = len(after.all_containers) > 1
    for spec in after.all_containers:
        known = old.get(spec.name)
        if known is None:
            continue
        suffix = f" of {spec.name}" if several else ""
        yield from _names(f"env{suffix}", _variables(known), _variables(spec))
        for change in _others(known, spec, {"name", "image", "env"}):
            yield replace(change, field=f"{change.field}{suffix}")


def _variables(spec: ContainerSpec) -> dict[str, object]:
    return dict(spec.env)


def _by_name(volumes: Iterable[Any]) -> dict[str, object]:
    return {volume.name: volume for volume in volumes}


_SHOWN = {RESTARTED_ANNOTATION: "restarted at", RELEASE_ANNOTATION: "release"}
"""Annotations of ours, whose values say something to people and hold no secret."""


def _names(what: str, before: Mapping[str, object], after: Mapping[str, object]) -> Iterable[FieldChange]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new and (name in before) == (name in after):
            continue
        if what == "annotation" and name in _SHOWN:
            yield _field(_SHOWN[name], old or "", new or "")
        else:
            way = "added" if name not in before else "removed" if name not in after else CHANGED
            yield FieldChange(field=f"{what} {name}", before="", after=way)


def _others(before: Any, after: Any, spoken: set[str]) -> Iterable[FieldChange]:
    """The fields that differ, beside those that were `spoken` of."""
    for item in fields(after):
        if item.name not in spoken and getattr(before, item.name) != getattr(after, item.name):
            old, new = getattr(before, item.name), getattr(after, item.name)
            plain = item.name in _PLAIN and isinstance(old, int | str) and isinstance(new, int | str)
            name = item.name.replace("_", " ")
            yield _field(name, old, new) if plain else FieldChange(field=name, before="", after=CHANGED)


_PLAIN = frozenset(
    (
        "grace_period", "max_surge", "max_unavailable", "min_ready_seconds", "progress_deadline", "recreate", "paused",
        "revision_history_limit",
    )
)  # fmt: skip
"""Fields whose values are figures or switches."""


def _field(name: str, before: object, after: object) -> FieldChange:
    return FieldChange(field=name, before=str(before), after=str(after))


def since(before: Mapping[str, int] | None, now: ServiceCounters) -> dict[str, int]:
    """What was counted since `before`, None being the beginning. Where there are fewer requests by now, all counts have
    begun anew; another may fall by itself, for it is the difference of rows that were not read at one moment."""
    known = before or {}
    if now.requests < known.get("requests", 0):
        known = {}
    return {name: max(0, getattr(now, name) - known.get(name, 0)) for name in SUMS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a look at a Deployment shows: `complete`, `stalled` and `message` as its status has them, its `replicas`,
    the names of the `draining` ones, whose last request is not answered yet, and the last `words` of a replica that is
    in trouble."""

    complete: bool
    stalled: bool
    message: str
    replicas: Sequence[Replica]
    draining: frozenset[str]
    words: tuple[str, ...] = ()


def advance(record: RolloutRecord, seen: Seen, now: float) -> RolloutRecord:
    """The record after a look. It is done once all is as asked and nothing drains any more, and ends a moment later."""
    if record.ended:
        return record
    new = [item for item in seen.replicas if item.template_hash == record.hash and not item.terminating]
    made = replace(
        record,
        images={**record.images, **images_of(new)},
        started_at=_reached(record.started_at, record, (item.started_at for item in new), now),
        ready_at=_reached(record.ready_at, record, (item.ready_since for item in new if item.ready), now),
        outcome=Outcome.STALLED if seen.stalled else Outcome.RUNNING,
        message=seen.message,
        replica_list=_shown(new),
        last_log=seen.words[-LOG_LINES:],
    )
    if seen.complete and made.switched_at is None:
        made = replace(made, switched_at=now)
    if made.switched_at is None or not seen.complete or seen.draining:
        return made
    done = replace(
        made,
        outcome=Outcome.COMPLETE,
        message="",
        last_log=(),
        # The last one may be idle before it was seen that it was the last.
        drained_at=max(made.drained_at or 0.0, made.switched_at),
        done_at=made.done_at or now,
    )
    return replace(done, ended_at=now) if now - (done.done_at or now) >= COUNTED_AFTER else done


def images_of(replicas: Iterable[Replica]) -> dict[str, str]:
    """The ids of the images of their containers, as far as they are known."""
    return {record.name: record.image_id for item in replicas for record in item.containers if record.image_id}


def _reached(known: float | None, record: RolloutRecord, times: Iterable[float | None], now: float) -> float | None:
    """The earliest of the times, no earlier than the record and no later than now, whatever the machine's clock does. A
    replica that was there before says nothing of this rollout."""
    if known is not None:
        return known
    told = [at for at in times if at is not None and at >= record.stored_at - 0.001]
    return min(now, max(record.stored_at, min(told))) if told else None


def _shown(replicas: Iterable[Replica]) -> tuple[RolledReplica, ...]:
    return tuple(
        RolledReplica(
            name=item.name,
            phase=item.phase,
            ready=item.ready,
            restarts=sum(record.backoff.restarts for record in item.containers),
            address=item.address,
        )
        for item in replicas
    )

"""Which containers somebody speaks of: those of an object, or of all pods with some labels; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from runtime.container import Identity, container_name, previous_name
from runtime.errors import Conflict, NotFound
from runtime.manifest.model import Job, PodTemplate
from runtime.manifest.namespace import subject
from runtime.model import Selection
from runtime.roster import Replica


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A container as it is now. `name` is its pod's; `previous` the one before the last restart, by its name or id: of
    one that has ended and waits to be started again that is itself, as `kubectl logs --previous` has it. Times are Unix
    seconds."""

    name: str
    container: str
    container_id: str
    running: bool
    ready: bool
    ended_at: float | None
    previous: str = ""


def spoken_of(selection: Selection) -> str:
    """As errors call it."""
    if not selection.kind:
        return f"pods of namespace {selection.namespace}"
    return subject(selection.kind, selection.namespace, selection.names[0])


def containers_of(selection: Selection, template: PodTemplate) -> tuple[str, ...]:
    """The names of a pod's containers that are meant; empty where it has none of that name."""
    names = [spec.name for spec in template.all_containers]
    if selection.container:
        return tuple(name for name in names if name == selection.container)
    return tuple(names) if selection.every else (template.container.name,)


def of_replica(selection: Selection, replica: Replica, who: Identity) -> Iterable[Source]:
    """The containers of a replica that are meant."""
    for name in containers_of(selection, replica.template):
        record = replica.record(name)
        spec = next(spec for spec in replica.template.all_containers if spec.name == name)
        waits = bool(record.container_id) and not (record.running or record.done) and record.ended_at is not None
        yield Source(
            name=replica.shown_name,
            container=name,
            container_id=record.container_id,
            running=record.running,
            ready=replica.ready,
            ended_at=record.ended_at,
            previous=record.container_id if waits else previous_name(container_name(who, replica.template, spec)),
        )


def has_labels(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether all that are wanted are there, with these values."""
    return all(labels.get(key) == value for key, value in wanted.items())


def latest(jobs: Iterable[Job], cron_job: str, began: Callable[[Job], float]) -> Job | None:
    """The one that a CronJob made last."""
    return max((job for job in jobs if job.owner == cron_job), key=began, default=None)


def refuse_container(selection: Selection, templates: Sequence[PodTemplate]) -> None:
    """Raise NotFound (`no-such-container`) where none of the pods has the one that is asked for."""
    if not selection.container or not templates:
        return
    names = dict.fromkeys(spec.name for template in templates for spec in template.all_containers)
    if selection.container not in names:
        raise NotFound(
            "no-such-container",
            spoken_of(selection),
            f'no container is named "{selection.container}"',
            hint=f"it has {', '.join(names)}",
        )


def choose(selection: Selection, sources: Sequence[Source], replica: str) -> Source:
    """The container in which a command is to run: of the pod `replica` where one is named, else of the first that is
    ready, else of the first that runs. Raises NotFound (`no-such-replica`), Conflict (`not-running`)."""
    named = [source for source in sources if replica in ("", source.name)]
    if replica and not named:
        known = ", ".join(dict.fromkeys(source.name for source in sources))
        raise NotFound(
            "no-such-replica",
            spoken_of(selection),
            f"it has no replica {replica}",
            hint=f"it has {known}" if known else "it has none at all",
        )
    running = sorted((source for source in named if source.running), key=lambda source: not source.ready)
    if not running:
        raise Conflict(
            "not-running",
            spoken_of(selection),
            f"no container of it runs{f' in {replica}' if replica else ''}",
            hint=f"imageforge get pods -n {selection.namespace}",
        )
    return running[0]

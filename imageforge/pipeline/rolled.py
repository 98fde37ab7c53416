"""From the runtime's record of a rollout to its report; and the way by which our own requests reach a Deployment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from imageforge.pipeline.cutover import CutoverCount, Entrance
from imageforge.report.rollout import ChangeRow, ReplicaRow, RolloutReport, ServiceRow, StepRow, own_from
from runtime import ControllerClient, NotFound, Outcome, RolloutRecord, RuntimeFailure, ServiceStatus

DRAIN_SECONDS = 10.0
"""How long a report waits for the last requests of old replicas: a websocket may stay for as long as their grace
period, and the record goes on without anybody waiting."""
LOOK_SECONDS = 5.0
"""The longest until a controller that is busy has looked again."""
UNKNOWN = "unknown-method"
"""A controller of the version before keeps no records; it is replaced in seconds."""


def ended_record(controller: ControllerClient, namespace: str, name: str) -> RolloutRecord | None:
    """The newest record, ended if that comes soon; None where there is none."""
    return _awaited(controller, namespace, name, lambda record: record.ended, DRAIN_SECONDS)


def stalled_record(controller: ControllerClient, namespace: str, name: str) -> RolloutRecord | None:
    """The newest record of what was seen to have stalled, with the reason: it is written at the controller's next look,
    once that has heard what the replicas say. None where there is none."""
    return _awaited(controller, namespace, name, lambda record: record.outcome is not Outcome.RUNNING, LOOK_SECONDS)


def _awaited(
    controller: ControllerClient, namespace: str, name: str, enough: Callable[[RolloutRecord], bool], seconds: float
) -> RolloutRecord | None:
    found: RolloutRecord | None = None
    try:
        for found in controller.watch_rollout(namespace, name, timeout=seconds):
            if enough(found):
                break
    except RuntimeFailure as error:
        if found is None and not isinstance(error, NotFound) and error.code != UNKNOWN:
            raise
    return found


def newest_record(controller: ControllerClient, namespace: str, name: str) -> RolloutRecord | None:
    """The newest record as it stands; None where there is none."""
    try:
        return next(iter(controller.rollouts(namespace, name)[-1:]), None)
    except RuntimeFailure as error:
        if not isinstance(error, NotFound) and error.code != UNKNOWN:
            raise
        return None


def record_of(controller: ControllerClient, namespace: str, name: str, revision: int | None) -> RolloutRecord:
    """The newest record, or the newest of those to a revision. Raises NotFound (`no-rollout`)."""
    known = controller.rollouts(namespace, name)
    found = [record for record in known if revision in (None, record.revision)]
    if not found:
        which = "" if revision is None else f" to revision {revision}"
        there = ", ".join(str(number) for number in sorted({record.revision for record in known}))
        raise NotFound(
            "no-rollout",
            f"Deployment {namespace}/{name}",
            f"no rollout of it{which} is on record",
            hint=f"there are those to {there}" if there else "a rollout that comes is recorded, whoever asks for it",
        )
    return found[-1]


def report_of(record: RolloutRecord, count: CutoverCount | None = None, path: str = "/") -> RolloutReport:
    """The report of a record, with our own requests where there were any: of a `count`, else as they were noted."""
    own = count.as_own(path) if count else own_from(record.own)
    ends = record.done_at or record.ended_at or (time.time() if record.outcome is Outcome.RUNNING else None)
    return RolloutReport(
        deployment=record.name,
        namespace=record.namespace,
        revision=record.revision,
        change=record.change,
        outcome=record.outcome.value,
        desired=record.replicas,
        message=record.message,
        recreate=record.recreate,
        seconds=None if ends is None else round(max(0.0, ends - record.stored_at), 2),
        changes=tuple(_change(record, change.field, change.before, change.after) for change in record.changes),
        steps=_steps(record),
        replicas=tuple(
            ReplicaRow(
                name=item.name,
                phase=item.phase,
                ready=item.ready,
                restarts=item.restarts,
                address=item.address,
                revision=record.revision,
            )
            for item in record.replica_list
        ),
        traffic=tuple(
            ServiceRow(
                service=item.service,
                protocol=item.protocol,
                requests=item.requests,
                failed=item.failed,
                retried=item.retried,
                errors_5xx=item.errors_5xx,
            )
            for item in record.traffic
        ),
        drained=record.drained,
        undrained=record.undrained,
        own=own,
        log=record.last_log,
    )


def _change(record: RolloutRecord, field: str, before: str, after: str) -> ChangeRow:
    if not field.startswith("image"):
        return ChangeRow(field=field, before=before, after=after)
    container = field.removeprefix("image").removeprefix(" of ")
    return ChangeRow(
        field=field,
        before=before,
        after=after,
        digest_before=_digest(record.images_before, container) if before else "",
        digest_after=_digest(record.images, container) if after else "",
    )


def _digest(images: Mapping[str, str], container: str) -> str:
    """The id of a container's image; without a name, of the only one."""
    return images.get(container, "") if container else next(iter(images.values()), "") if len(images) == 1 else ""


def _steps(record: RolloutRecord) -> tuple[StepRow, ...]:
    times = {
        "stored": record.stored_at,
        "started": record.started_at,
        "ready": record.ready_at,
        "switched": record.switched_at,
        "drained": record.drained_at,
        "done": record.done_at,
    }
    start = record.stored_at
    return tuple(
        StepRow(name=name, seconds=None if at is None else round(max(0.0, at - start), 3)) for name, at in times.items()
    )


def entrance_of(controller: ControllerClient, address: str, port: int, namespace: str, name: str) -> Entrance | None:
    """The way to a Deployment's replicas by HTTP: by a host on the balancer's entry, `address` and `port`, else by the
    address of a Service. None where neither leads there."""
    try:
        documents = list(yaml.safe_load_all(controller.manifests(namespace, name)))
    except NotFound:
        return None
    leading = {item["metadata"]["name"] for item in documents if item["kind"] == "Service"}
    path = next((_path(item) for item in documents if item["kind"] == "Deployment"), "/")
    services = [item for item in controller.services(namespace) if item.name in leading]
    for service in services:
        if service.hosts:
            return Entrance(address=address, port=port, host=service.hosts[0], path=path)
    found = (_by_address(service, path) for service in services)
    return next((entrance for entrance in found if entrance is not None), None)


def _by_address(service: ServiceStatus, path: str) -> Entrance | None:
    ports = [item.port for item in service.ports if item.protocol == "http" and not item.problem]
    if not service.address or not ports:
        return None
    return Entrance(address=service.address, port=ports[0], host=f"{service.name}.{service.namespace}", path=path)


def _path(deployment: Mapping[str, Any]) -> str:
    """What the main container is asked to be found ready, for that is there; else the root."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    found = ((container.get("readinessProbe") or {}).get("httpGet") or {}).get("path") or "/"
    return str(found) if str(found).startswith("/") else f"/{found}"

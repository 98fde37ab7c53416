"""How a Deployment stands, computed from what is wanted and what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.decide import resolve_bounds
from runtime.held import Held
from runtime.manifest.model import (
    CAUSE_ANNOTATION,
    RELEASE_ANNOTATION,
    Deployment,
    PodTemplate,
    Service,
    app_of,
    component_of,
)
from runtime.model import (
    Condition,
    ContainerStatus,
    DeploymentStatus,
    ReplicaStatus,
    RevisionStatus,
    RolloutPhase,
)
from runtime.roster import Replica
from runtime.routes import routed_port, routes_to
from runtime.sockets import listening


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Kubernetes' counts of a DeploymentStatus, without what is being stopped."""

    current: int
    updated: int
    ready: int
    available: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The last time a rollout came nearer to its end, and the counts it had then."""

    at: float
    generation: int
    counts: Counts

    def step(self, counts: Counts, generation: int, now: float) -> Progress:
        """Progress is more updated, fewer old or more available ones (Kubernetes: DeploymentProgressing)."""
        before = self.counts
        nearer = (
            generation != self.generation
            or counts.updated > before.updated
            or counts.current - counts.updated < before.current - before.updated
            or counts.available > before.available
        )
        return Progress(at=now if nearer else self.at, generation=generation, counts=counts)


def count(held: Held, replicas: Sequence[Replica], now: float) -> Counts:
    """The counts of a Deployment's replicas."""
    living = [replica for replica in replicas if not replica.terminating]
    least = held.deployment.min_ready_seconds
    return Counts(
        current=len(living),
        updated=sum(replica.template_hash == held.hash for replica in living),
        ready=sum(replica.ready for replica in living),
        available=sum(replica.available(least, now) for replica in living),
    )


def is_complete(held: Held, counts: Counts) -> bool:
    """Every replica is of the wanted template and available, and there are as many as asked for."""
    wanted = 0 if held.deleting else held.deployment.replicas
    return counts.updated == counts.current == counts.available == wanted and not held.deleting


def phase_of(held: Held, counts: Counts, progress: Progress, now: float) -> RolloutPhase:
    """Complete, on the way, or without progress for longer than the deadline."""
    if is_complete(held, counts):
        return RolloutPhase.COMPLETE
    late = now - progress.at >= held.deployment.progress_deadline and not held.deleting
    return RolloutPhase.STALLED if late else RolloutPhase.PROGRESSING


def deployment_status(
    held: Held,
    replicas: Sequence[Replica],
    services: Sequence[Service],
    progress: Progress,
    observed_generation: int,
    trouble: str,
    now: float,
) -> DeploymentStatus:
    """The status that callers see."""
    deployment, template = held.deployment, held.deployment.template
    counts = count(held, replicas, now)
    phase = phase_of(held, counts, progress, now)
    hosts = [
        host for service in services if routes_to(service, deployment.namespace, template) for host in service.hosts
    ]
    return DeploymentStatus(
        name=deployment.name,
        namespace=deployment.namespace,
        generation=held.generation,
        observed_generation=observed_generation,
        revision=held.revision,
        phase=phase,
        desired=0 if held.deleting else deployment.replicas,
        current=counts.current,
        updated=counts.updated,
        ready=counts.ready,
        available=counts.available,
        message=_message(held, counts, phase, replicas, _unroutable(held, services) or trouble),
        app=app_of(template, deployment.name),
        deleting=held.deleting,
        component=component_of(template),
        release=template.annotations.get(RELEASE_ANNOTATION, ""),
        host=hosts[0] if hosts else "",
        paused=deployment.paused,
        conditions=conditions(held, counts, phase),
        replica_list=tuple(replica_status(replica, held, services) for replica in replicas),
    )


def bounds(deployment: Deployment) -> tuple[int, int]:
    """(surge, unavailable) as counts; a Recreate has all of them away at once, and none more."""
    if deployment.recreate:
        return 0, deployment.replicas
    return resolve_bounds(deployment.replicas, deployment.max_surge, deployment.max_unavailable)


def conditions(held: Held, counts: Counts, phase: RolloutPhase) -> tuple[Condition, ...]:
    """Kubernetes' two conditions of a Deployment, with its reasons and words."""
    deployment = held.deployment
    enough = counts.available >= deployment.replicas - bounds(deployment)[1]
    available = Condition(
        type="Available",
        status=str(enough),
        reason="MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        message=f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    )
    name = f'ReplicaSet "{deployment.name}-{held.hash}"'
    status, reason, message = {
        RolloutPhase.COMPLETE: ("True", "NewReplicaSetAvailable", f"{name} has successfully progressed."),
        RolloutPhase.PROGRESSING: ("True", "ReplicaSetUpdated", f"{name} is progressing."),
        RolloutPhase.STALLED: ("False", "ProgressDeadlineExceeded", f"{name} has timed out progressing."),
    }[phase]
    if deployment.paused:
        status, reason, message = "Unknown", "DeploymentPaused", "Deployment is paused"
    return available, Condition(type="Progressing", status=status, reason=reason, message=message)


def revisions(held: Held, replicas: Sequence[Replica]) -> tuple[RevisionStatus, ...]:
    """The templates that a Deployment has and had, the oldest first."""
    living = [replica.template_hash for replica in replicas if not replica.terminating]
    return tuple(
        RevisionStatus(
            number=revision.number,
            hash=revision.hash,
            current=revision.hash == held.hash,
            replicas=living.count(revision.hash),
            image=revision.deployment.template.container.image,
            release=revision.deployment.template.annotations.get(RELEASE_ANNOTATION, ""),
            cause=revision.deployment.annotations.get(CAUSE_ANNOTATION, ""),
        )
        for revision in sorted(held.revisions.values(), key=lambda revision: revision.number)
    )


def replica_status(replica: Replica, held: Held, services: Sequence[Service]) -> ReplicaStatus:
    """One replica as callers see it; where it listens is read from the kernel now."""
    template = replica.template
    revision = held.revisions.get(replica.template_hash)
    return ReplicaStatus(
        name=replica.name,
        namespace=replica.namespace,
        deployment=replica.deployment,
        revision=revision.number if revision else 0,
        phase=replica.phase,
        ready=replica.ready,
        restarts=sum(record.backoff.restarts for record in replica.containers),
        image=template.container.image,
        release=template.annotations.get(RELEASE_ANNOTATION, ""),
        container_id=replica.container_id,
        address=replica.address,
        port=_port(template, replica.namespace, services),
        created_at=replica.created_at,
        started_at=replica.started_at,
        exit_code=replica.exit_code,
        message=replica.message,
        listening=listening(replica.pid) if replica.running and replica.pid else (),
        last_log=replica.last_log,
        containers=container_statuses(replica),
    )


def container_statuses(replica: Replica) -> tuple[ContainerStatus, ...]:
    """A replica's containers, those that begin first before the others."""
    template = replica.template
    roles = {spec.name: "sidecar" if spec.sidecar else "init" for spec in template.init}
    return tuple(
        ContainerStatus(
            name=spec.name,
            image=spec.image,
            role=roles.get(spec.name, "main"),
            phase=record.phase,
            ready=record.ready,
            started=record.started,
            done=record.done,
            restarts=record.backoff.restarts,
            container_id=record.container_id,
            started_at=record.started_at,
            exit_code=record.exit_code,
            message=record.message,
            last_log=record.last_log,
        )
        for spec in (*template.init, *template.mains)
        for record in (replica.record(spec.name),)
    )


def _port(template: PodTemplate, namespace: str, services: Sequence[Service]) -> int:
    """Where requests go: the routed port, else the probed one, else the first that is named; 0 for none."""
    for service in services:
        if routes_to(service, namespace, template):
            return routed_port(service, template) or 0
    container = template.container
    if container.readiness is not None:
        return container.port_number(container.readiness.port) or 0
    return container.ports[0].number if container.ports else 0


def _unroutable(held: Held, services: Sequence[Service]) -> str:
    """What keeps a Service from leading anywhere, if anything does."""
    deployment = held.deployment
    for service in services:
        leads_here = routes_to(service, deployment.namespace, deployment.template)
        if leads_here and routed_port(service, deployment.template) is None:
            target = service.routed_port.target
            return f'Service {service.name} leads to the port "{target}", and the container has none of that name'
    return ""


def _message(held: Held, counts: Counts, phase: RolloutPhase, replicas: Sequence[Replica], trouble: str) -> str:
    """The most telling reason for not being complete."""
    if phase is RolloutPhase.COMPLETE:
        return ""
    if held.deleting:
        return f"being deleted: {len(replicas)} of its replicas are still there"
    parts = ["paused"] if held.deployment.paused else []
    if phase is RolloutPhase.STALLED:
        parts.append(f"no progress for {held.deployment.progress_deadline} s")
    newest_first = sorted(replicas, key=lambda replica: (replica.template_hash != held.hash, -replica.backoff.restarts))
    troubled = next((replica for replica in newest_first if replica.message and not replica.terminating), None)
    if troubled is not None:
        parts.append(f"{troubled.name}: {troubled.message}")
    elif trouble:
        parts.append(trouble)
    else:
        parts.append(f"{counts.available} of {held.deployment.replicas} available, {counts.updated} updated")
    return "; ".join(parts)

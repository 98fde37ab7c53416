"""A Deployment's status from its replicas; the counts are those of Kubernetes' DeploymentStatus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runtime.manifest.model import APP_LABEL, RELEASE_ANNOTATION, Deployment
from runtime.manifest.template import template_hash
from runtime.model import DeploymentStatus, ReplicaStatus, RolloutPhase
from runtime.progress import ProgressClock
from runtime.replica import Life, Replica
from runtime.sockets import listening


def deployment_status(
    deployment: Deployment,
    replicas: Sequence[Replica],
    *,
    generation: int,
    observed_generation: int,
    revision_of: Callable[[str], int],
    clock: ProgressClock,
    host: str,
    now: float,
) -> DeploymentStatus:
    """Terminating replicas are listed, and counted nowhere, as in Kubernetes."""
    wanted = template_hash(deployment.template)
    living = [replica for replica in replicas if not replica.stopping]
    updated = [replica for replica in living if replica.stored.template_hash == wanted]
    available = [
        replica
        for replica in living
        if replica.ready and now - replica.ready_since >= replica.deployment.min_ready_seconds
    ]
    old = len(living) - len(updated)
    key = (deployment.namespace, deployment.name)
    idle = clock.since(key, updated=len(updated), old=old, available=len(available))
    complete = old == 0 and len(updated) == len(available) == deployment.replicas
    phase = (
        RolloutPhase.COMPLETE
        if complete
        else RolloutPhase.STALLED
        if idle > deployment.progress_deadline
        else RolloutPhase.PROGRESSING
    )
    return DeploymentStatus(
        name=deployment.name,
        namespace=deployment.namespace,
        generation=generation,
        observed_generation=observed_generation,
        revision=revision_of(wanted),
        phase=phase,
        desired=deployment.replicas,
        current=len(living),
        updated=len(updated),
        ready=sum(replica.ready for replica in living),
        available=len(available),
        message="" if complete else next((r.message for r in updated if r.message), ""),
        app=deployment.labels.get(APP_LABEL, deployment.name),
        release=deployment.template.annotations.get(RELEASE_ANNOTATION, ""),
        host=host,
        replica_list=tuple(_replica_status(replica, revision_of) for replica in replicas),
    )


def _replica_status(replica: Replica, revision_of: Callable[[str], int]) -> ReplicaStatus:
    container = replica.deployment.template.container
    message = replica.message
    addresses: tuple[str, ...] = ()
    if replica.life is Life.RUNNING and not replica.ready and replica.pid:
        addresses = listening(replica.pid)
        if message and addresses:
            message = f"{message}; it listens on {', '.join(addresses)}"
    return ReplicaStatus(
        name=replica.name,
        namespace=replica.stored.namespace,
        deployment=replica.stored.deployment,
        revision=revision_of(replica.stored.template_hash),
        phase=replica.phase,
        ready=replica.ready and not replica.stopping,
        restarts=replica.backoff.restarts,
        image=container.image,
        release=replica.deployment.template.annotations.get(RELEASE_ANNOTATION, ""),
        container_id=replica.container_id,
        address=replica.address,
        port=container.ports[0].number if container.ports else 0,
        started_at=replica.started_at or None,
        exit_code=replica.exit_code,
        message=message,
        listening=addresses,
        last_log=replica.last_log,
    )

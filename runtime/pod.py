"""How a pod that is no Deployment's stands, in Kubernetes' words; pure.

After the kubelet's getPhase (kubernetes/pkg/kubelet/kubelet_pods.go).
"""

from __future__ import annotations

from runtime.manifest.model import Pod, app_of
from runtime.model import PodPhase, PodStatus
from runtime.resources import qos
from runtime.restart import RestartPolicy
from runtime.roster import Replica
from runtime.standing import ContainerRecord
from runtime.status import container_statuses


def pod_phase(replica: Replica) -> PodPhase:
    """Pending until every container has begun; then by those that the pod is there for, however a sidecar ended."""
    if replica.evicted:
        return PodPhase.FAILED
    template = replica.template
    mains = [(spec, replica.record(spec.name)) for spec in template.mains]
    records = [record for _, record in mains]
    begun = any(record.container_id for record in records)
    for spec in template.init:
        record = replica.record(spec.name)
        if record.done and record.exit_code != 0 and not spec.sidecar:
            return PodPhase.FAILED
        if not (record.done or (spec.sidecar and (record.started or begun))):
            return PodPhase.PENDING
    if any(not (record.running or _has_ended(record)) for record in records):
        return PodPhase.PENDING
    if any(not (record.done and template.restarts(spec).policy is not RestartPolicy.ALWAYS) for spec, record in mains):
        return PodPhase.RUNNING
    return PodPhase.SUCCEEDED if all(record.exit_code == 0 for record in records) else PodPhase.FAILED


def _has_ended(record: ContainerRecord) -> bool:
    return record.ended_at is not None and record.exit_code is not None


def pod_status(pod: Pod, replica: Replica | None, *, deleting: bool) -> PodStatus:
    """The status that callers see; None is one that nobody has begun with."""
    if replica is not None:
        return status_of(replica, pod.name, deleting=deleting)
    return PodStatus(
        name=pod.name,
        namespace=pod.namespace,
        phase=PodPhase.PENDING,
        reason="",
        message="",
        ready=False,
        restarts=0,
        qos=qos(pod.template).value,
        app=app_of(pod.template, pod.name),
        deleting=deleting,
    )


def status_of(replica: Replica, name: str, *, deleting: bool) -> PodStatus:
    """The status of a pod that a replica is, under the name that callers know it by."""
    statuses = container_statuses(replica)
    return PodStatus(
        name=name,
        namespace=replica.namespace,
        phase=pod_phase(replica),
        reason=replica.phase,
        message=replica.message,
        ready=replica.ready,
        restarts=sum(item.restarts for item in statuses),
        qos=qos(replica.template).value,
        address=replica.address,
        app=app_of(replica.template, name),
        deleting=deleting,
        created_at=replica.created_at,
        containers=statuses,
    )

"""What a container's requests and limits become in the kernel, and what a pod asks of the machine; pure.

After the kubelet (kubernetes/pkg/kubelet/cm/helpers_linux.go, pkg/kubelet/qos/policy.go) and the scheduler.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from runtime.manifest.model import ContainerSpec, PodTemplate
from runtime.manifest.pod_resources import aggregate
from runtime.manifest.quantity import shown_cpu, shown_memory
from runtime.manifest.resources import Resources

SHARES_PER_CPU = 1024
LEAST_SHARES = 2
CPU_PERIOD = 100_000
LEAST_QUOTA = 1_000
GUARANTEED_ADJ = -997
BEST_EFFORT_ADJ = 1000


class Qos(StrEnum):
    """A pod's class: who is ended first where the machine's memory is short."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """As the engine takes them; None is its default. `cpu_quota` is microseconds of each `CPU_PERIOD`, `memory`
    bytes, swap included."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None
    memory: int | None = None
    oom_score_adj: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PodLimits:
    """What the kernel holds all containers of a pod to together, in the same units; None is no limit. `pids` are
    processes and threads."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None
    memory: int | None = None
    pids: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Amounts:
    """CPU in thousandths, memory and disk in bytes; of a machine whose disk is not seen that is 0."""

    cpu: int = 0
    memory: int = 0
    disk: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(cpu=self.cpu + other.cpu, memory=self.memory + other.memory, disk=self.disk + other.disk)

    def __or__(self, other: Amounts) -> Amounts:
        """The larger of each."""
        return Amounts(
            cpu=max(self.cpu, other.cpu), memory=max(self.memory, other.memory), disk=max(self.disk, other.disk)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What there is to be had, and the labels that a nodeSelector is held against. `cgroup_driver` is the engine's way
    to control groups, which are `unified` in version 2; without `apparmor` nobody is held to a profile of it."""

    size: Amounts
    labels: Mapping[str, str]
    cgroup_driver: str = ""
    unified: bool = False
    apparmor: bool = False


def qos(template: PodTemplate) -> Qos:
    """Guaranteed where every container has both limits and asks for as much; BestEffort where none says anything. What
    is said of the pod as a whole comes before what its containers say."""
    pod = template.resources
    all_resources = [spec.resources for spec in template.all_containers] if pod == Resources() else [pod]
    if not any(value for said in all_resources for value in _values(said)):
        return Qos.BEST_EFFORT
    if all(
        said.cpu_limit and said.memory_limit and said.cpu_request == said.cpu_limit
        and said.memory_request == said.memory_limit
        for said in all_resources
    ):  # fmt: skip
        return Qos.GUARANTEED
    return Qos.BURSTABLE


def _values(said: Resources) -> tuple[int | None, ...]:
    return said.cpu_request, said.cpu_limit, said.memory_request, said.memory_limit


def oom_score_adj(kind: Qos, memory_request: int, memory_size: int) -> int:
    """From -1000, never ended, to 1000, ended first; the more a container asks for the later it is its turn."""
    if kind is Qos.GUARANTEED:
        return GUARANTEED_ADJ
    if kind is Qos.BEST_EFFORT:
        return BEST_EFFORT_ADJ
    adj = 1000 - 1000 * memory_request // max(memory_size, 1)
    return min(max(adj, 1000 + GUARANTEED_ADJ), BEST_EFFORT_ADJ - 1)


def limits(said: Resources, kind: Qos, memory_size: int) -> Limits:
    """The kernel's figures for one container of a pod of that class."""
    shares = None if said.cpu_request is None else max(LEAST_SHARES, said.cpu_request * SHARES_PER_CPU // 1000)
    quota = None if not said.cpu_limit else max(LEAST_QUOTA, said.cpu_limit * CPU_PERIOD // 1000)
    return Limits(
        cpu_shares=shares,
        cpu_quota=quota,
        memory=said.memory_limit or None,
        oom_score_adj=oom_score_adj(kind, said.memory_request or 0, memory_size),
    )


def bounded(template: PodTemplate, spec: ContainerSpec) -> Resources:
    """What a container of the pod may take: where it says nothing, as much as its pod. Of the memory that the pod asks
    for and its containers do not, each has an equal share in what is ended first."""
    own, pod = spec.resources, template.resources
    if pod == Resources():
        return own
    together = aggregate("memory_request", template.mains, template.init) or 0
    rest = max(0, (pod.memory_request or together) - together) // len(template.all_containers)
    return replace(
        own,
        cpu_request=pod.cpu_limit if own.cpu_request is None else own.cpu_request,
        cpu_limit=own.cpu_limit or pod.cpu_limit,
        memory_limit=own.memory_limit or pod.memory_limit,
        memory_request=(own.memory_request or 0) + rest,
    )


def pod_limits(template: PodTemplate) -> PodLimits | None:
    """The kernel's figures for all of a pod; None where nothing is said of it as a whole."""
    pod = template.resources
    if pod == Resources() and template.pids is None:
        return None
    shares = asked(template).cpu * SHARES_PER_CPU // 1000
    return PodLimits(
        cpu_shares=max(LEAST_SHARES, shares) if shares else None,
        cpu_quota=max(LEAST_QUOTA, pod.cpu_limit * CPU_PERIOD // 1000) if pod.cpu_limit else None,
        memory=pod.memory_limit or None,
        pids=template.pids,
    )


def asked(template: PodTemplate) -> Amounts:
    """What a pod asks of the machine: as it says as a whole, else its containers together, or, where that is more, what
    one that runs before them asks beside the sidecars that began before it."""

    def amount(what: str) -> int:
        whole: int | None = getattr(template.resources, what)
        return (aggregate(what, template.mains, template.init) or 0) if whole is None else whole

    return Amounts(cpu=amount("cpu_request"), memory=amount("memory_request"), disk=amount("disk_request"))


def why_not(
    template: PodTemplate, machine: Machine, taken: Sequence[Amounts], ports: Collection[int] = frozenset()
) -> str:
    """Empty where a pod fits beside what is taken, `ports` of the machine among it, else why not, as a cluster of one
    machine would say it."""
    name = machine.labels.get("kubernetes.io/hostname", "")
    if template.node_name not in ("", name):
        return f"0/1 nodes are available: 1 node(s) didn't match the requested node name (this one is {name})"
    mismatched = {key: value for key, value in template.node_selector.items() if machine.labels.get(key) != value}
    if mismatched:
        wanted = ", ".join(f"{key}={value}" for key, value in sorted(mismatched.items()))
        return (
            f"0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector ({wanted} is not among the "
            "labels of this machine)"
        )
    held = sorted({number for number, _ in template.host_ports} & set(ports))
    if held:
        which = ", ".join(map(str, held))
        return (
            "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports "
            f"(another replica has {which})"
        )
    used = Amounts()
    for amount in taken:
        used += amount
    wants, free = asked(template), Amounts(cpu=machine.size.cpu - used.cpu, memory=machine.size.memory - used.memory)
    missing = []
    if wants.cpu > max(free.cpu, 0):
        have = f"{shown_cpu(max(free.cpu, 0))} of {shown_cpu(machine.size.cpu)} is free"
        missing.append(f"1 Insufficient cpu (asks for {shown_cpu(wants.cpu)}, {have})")
    if wants.memory > max(free.memory, 0):
        have = f"{shown_memory(max(free.memory, 0))} of {shown_memory(machine.size.memory)} is free"
        missing.append(f"1 Insufficient memory (asks for {shown_memory(wants.memory)}, {have})")
    free_disk = max(machine.size.disk - used.disk, 0)
    if machine.size.disk and wants.disk > free_disk:
        have = f"{shown_memory(free_disk)} of {shown_memory(machine.size.disk)} is free"
        missing.append(f"1 Insufficient ephemeral-storage (asks for {shown_memory(wants.disk)}, {have})")
    return f"0/1 nodes are available: {', '.join(missing)}" if missing else ""

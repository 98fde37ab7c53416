"""A container as it is asked for and as the engine shows it: values and pure translations."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runtime.discovery.links import NO_LINKS, Asked, Links
from runtime.discovery.zone import service_name
from runtime.environment import Environment, environment, words
from runtime.errors import ImageError
from runtime.labels import Label
from runtime.manifest.model import RELEASE_ANNOTATION, ContainerSpec, PodTemplate, app_of
from runtime.manifest.volume import VolumeMount
from runtime.policy import Confinement, Policy, confinement
from runtime.resources import Limits
from runtime.sources import Pod, Sources


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """What is asked of an image: its id, the user its configuration names, and whether it was built here."""

    image_id: str
    user: str
    ours: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """A folder of the host, or a volume of the engine, that the container sees."""

    source: str
    target: str
    read_only: bool = True
    is_volume: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a volume is: a path on the engine's host, or the name of a volume of the engine."""

    source: str
    is_volume: bool = False
    read_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerRequest:
    """A container to be made. `entrypoint` and `command` None are the image's own. With `joins` it has the network,
    name and shared memory of the container with that id, which `shares_ipc`, and with `shares_processes` its processes,
    among which that one has a `first_process` that sees to those whose parent is gone. `hosts` are (name, address) of
    /etc/hosts, `ports` (address of the machine, its port, the container's). It is made below the `control_group`, where
    one is named, as the engine's driver has it."""

    name: str
    hostname: str
    image: str
    network: str
    labels: Mapping[str, str]
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[Mount, ...] = ()
    user: str | None = None
    read_only: bool = False
    groups: tuple[int, ...] = ()
    confinement: Confinement = field(default_factory=Confinement)
    stop_timeout: int = 30
    limits: Limits = field(default_factory=Limits)
    working_dir: str | None = None
    stdin: bool = False
    tty: bool = False
    joins: str = ""
    shares_ipc: bool = False
    asks: Asked = field(default_factory=Asked)
    domain: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, int, int], ...] = ()
    first_process: bool = False
    shares_processes: bool = False
    control_group: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerState:
    """How a container stands. Times are Unix seconds, None for never; `pid` is the host's, 0 when it does not run."""

    id: str
    labels: Mapping[str, str]
    running: bool
    pid: int
    exit_code: int
    oom_killed: bool
    error: str
    started_at: float | None
    finished_at: float | None
    address: str
    name: str = ""

    @property
    def is_previous(self) -> bool:
        """Whether it is kept for its output, as the one before the last restart."""
        return self.name.endswith(_PREVIOUS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """What became of a command in a container: its exit code, None where it was not done in time, and the beginning of
    its output."""

    code: int | None
    output: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Whose container it is: a Deployment's, with its revision, or a Job's or a pod's of its own, which have none."""

    instance: str
    namespace: str
    deployment: str
    replica: str
    template_hash: str
    revision: int
    job: str = ""
    pod: str = ""


_PREVIOUS = "__previous"
_NEXT = "__next"
"""No container of a manifest has a name that begins so."""
UNKNOWN_IMAGE = ImageFacts(image_id="", user="")
DEFAULT_POLICY = Policy()


def network_name(instance: str, namespace: str) -> str:
    """The one network of a namespace."""
    return f"imageforge-{instance}-{namespace}"


def container_request(
    template: PodTemplate,
    who: Identity,
    sources: Sources,
    places: Mapping[VolumeMount, Place],
    links: Links = NO_LINKS,
    image: ImageFacts = UNKNOWN_IMAGE,
    policy: Policy = DEFAULT_POLICY,
    *,
    spec: ContainerSpec | None = None,
    sandbox: str = "",
    env: Environment | None = None,
) -> ContainerRequest:
    """The container `spec` of a replica, None the main one, as Kubernetes would make it from the same template;
    `places` are what its mounts show, `sandbox` the id of the container that has its network, `env` its variables where
    they are known already. Raises ConfigError, KeyFailure."""
    spec = spec or template.container
    env = env or environment(spec, sources, links.variables)
    return ContainerRequest(
        name=container_name(who, template, spec),
        # The kernel's limit; Kubernetes cuts there too.
        hostname=host_name(template, who),
        domain=domain_name(template, who),
        image=spec.image,
        network=network_name(who.instance, who.namespace),
        labels=container_labels(template, who, spec),
        entrypoint=words(spec.command, env, "command"),
        # A command of its own drops the image's arguments too.
        command=() if spec.command is not None and spec.args is None else words(spec.args, env, "args"),
        env=env.variables,
        user=_user(spec, image),
        groups=template.security.groups,
        read_only=spec.security.read_only_root,
        confinement=confinement(spec, policy, ours=image.ours),
        stop_timeout=template.grace_period,
        mounts=tuple(_mount(mount, places[mount]) for mount in spec.mounts),
        working_dir=spec.working_dir or None,
        stdin=spec.stdin,
        tty=spec.tty,
        joins=sandbox,
        shares_processes=bool(sandbox) and template.shares_processes,
    )


def _mount(said: VolumeMount, place: Place) -> Mount:
    return Mount(
        source=place.source,
        target=said.path,
        read_only=said.read_only or place.read_only,
        is_volume=place.is_volume,
    )


def host_name(template: PodTemplate, who: Identity) -> str:
    """What the containers of a pod are called among themselves."""
    return template.hostname or (who.pod or who.replica)[:63].rstrip("-.")


def domain_name(template: PodTemplate, who: Identity) -> str:
    """What stands behind their name where it is asked for whole; empty for nothing."""
    return service_name(who.namespace, template.subdomain) if template.subdomain else ""


def container_name(who: Identity, template: PodTemplate, spec: ContainerSpec) -> str:
    """In the engine: the replica's, and of several containers those beside the main one also have their own."""
    suffix = "" if spec.name == template.container.name else f"_{spec.name}"
    return f"imageforge-{who.instance}-{who.replica}{suffix}"


def previous_name(name: str) -> str:
    """What the container before the last restart is called then; `name` is what both are called while they run."""
    return f"{name}{_PREVIOUS}"


def next_name(name: str) -> str:
    """What a container is called that is made while the one before it, which has ended, still has its `name`."""
    return f"{name}{_NEXT}"


def _user(spec: ContainerSpec, image: ImageFacts) -> str | None:
    """None is the image's own, with the groups that it names."""
    user, group = spec.security.run_as_user, spec.security.run_as_group
    if group is not None:
        return f"{image.user.partition(':')[0] or '0' if user is None else user}:{group}"
    return None if user is None else str(user)


def container_labels(template: PodTemplate, who: Identity, spec: ContainerSpec | None = None) -> dict[str, str]:
    """Everything by which the container is found again."""
    spec = spec or template.container
    _, _, digest = spec.image.partition("@")
    owner: dict[str, str] = {Label.JOB: who.job}
    if who.pod:
        owner = {Label.POD: who.pod}
    elif not who.job:
        owner = {Label.DEPLOYMENT: who.deployment, Label.REVISION: str(who.revision)}
    return {
        Label.INSTANCE: who.instance,
        Label.NAMESPACE: who.namespace,
        Label.APP: app_of(template, who.pod or who.job or who.deployment),
        **owner,
        Label.REPLICA: who.replica,
        Label.CONTAINER: spec.name,
        Label.TEMPLATE_HASH: who.template_hash,
        Label.RELEASE: template.annotations.get(RELEASE_ANNOTATION, ""),
        Label.DIGEST: digest,
    }


def pod_of(template: PodTemplate, who: Identity, host: Callable[[], str], address: Callable[[], str] = str) -> Pod:
    """The replica as it is told of itself, with the labels that a cluster's controllers would add; `host` gives this
    machine's address, `address` its own."""
    added = {} if who.pod else {"pod-template-hash": who.template_hash}
    if who.job:
        added = {"job-name": who.job, "batch.kubernetes.io/job-name": who.job}
    return Pod(
        name=who.pod or who.replica,
        namespace=who.namespace,
        # The same whenever it is asked for, and another one for each replica, whose name no other has.
        uid=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{who.instance}/{who.namespace}/{who.replica}")),
        node=socket.gethostname().lower(),
        host=host,
        address=address,
        labels={**template.labels, **added},
        annotations=template.annotations,
    )


def refuse_root(spec: ContainerSpec, image: ImageFacts) -> None:
    """Raise ImageError where ``runAsNonRoot`` does not hold, in the words of Kubernetes."""
    security = spec.security
    if not security.run_as_non_root or security.run_as_user is not None:
        return
    user = image.user.partition(":")[0]
    reference = spec.image
    if user in ("", "0", "root"):
        raise ImageError(
            "image-runs-as-root",
            reference,
            "container has runAsNonRoot and image will run as root",
            hint="add a USER with a number to the Dockerfile, such as `USER 10001`",
        )
    if not user.isdigit():
        raise ImageError(
            "image-user-not-numeric",
            reference,
            f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root",
            hint="write the USER as a number in the Dockerfile",
        )


def container_state(inspected: Mapping[str, Any]) -> ContainerState:
    """The part of ``docker inspect`` that matters."""
    state = inspected["State"]
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [network.get("IPAddress") or "" for network in networks.values()]
    return ContainerState(
        id=inspected["Id"],
        labels=(inspected.get("Config") or {}).get("Labels") or {},
        running=bool(state.get("Running")),
        pid=int(state.get("Pid") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        started_at=parse_time(state.get("StartedAt") or ""),
        finished_at=parse_time(state.get("FinishedAt") or ""),
        address=next((address for address in addresses if address), ""),
        name=(inspected.get("Name") or "").removeprefix("/"),
    )


def listed_state(listed: Mapping[str, Any], pid: int) -> ContainerState:
    """The same of a running container in ``docker ps``, which says neither its process nor when it began."""
    networks = (listed.get("NetworkSettings") or {}).get("Networks") or {}
    addresses = [network.get("IPAddress") or "" for network in networks.values()]
    return ContainerState(
        id=listed["Id"],
        labels=listed.get("Labels") or {},
        running=True,
        pid=pid,
        exit_code=0,
        oom_killed=False,
        error="",
        started_at=None,
        finished_at=None,
        address=next((address for address in addresses if address), ""),
        name=next(iter(listed.get("Names") or ()), "").removeprefix("/"),
    )


def parse_time(text: str) -> float | None:
    """Unix seconds of RFC 3339 with nanoseconds; None for the engine's zero time."""
    if not text or text.startswith("0001-"):
        return None
    whole, dot, rest = text.partition(".")
    if not dot:
        return datetime.fromisoformat(text).timestamp()
    digits = rest[: next((at for at, char in enumerate(rest) if not char.isdigit()), len(rest))]
    return datetime.fromisoformat(whole + rest[len(digits) :]).timestamp() + float(f"0.{digits or 0}")


def split_timestamp(line: str) -> tuple[int, str]:
    """(nanoseconds since the epoch, text) of a line of output that the engine stamped. A float would make one of lines
    that are 200 ns apart."""
    stamp, _, text = line.partition(" ")
    whole, dot, rest = stamp.partition(".")
    digits = rest[: next((at for at, char in enumerate(rest) if not char.isdigit()), len(rest))] if dot else ""
    try:
        seconds = parse_time(whole + rest[len(digits) :])
    except ValueError:
        return 0, line
    return round(seconds or 0.0) * 1_000_000_000 + int(digits.ljust(9, "0")[:9]), text

"""The Docker Engine, as far as the runtime needs it. The only module here that imports the SDK.

Speaks to Engine 20.10 to 29: addresses are read per network and events by Action and Actor, for the older fields are
gone from API 1.52 on. The engine's own restart policy is never used: its back-off differs from Kubernetes'.
"""

from __future__ import annotations

import contextlib
import http
import io
import logging
import os
import signal
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import requests.exceptions
import urllib3.exceptions

from runtime.container import (
    ContainerRequest,
    ContainerState,
    Execution,
    ImageFacts,
    container_state,
    listed_state,
    next_name,
    previous_name,
    split_timestamp,
)
from runtime.discovery.network import NetworkFacts, containers_half, network_facts, used_addresses
from runtime.engine_stream import StreamName
from runtime.errors import EngineError, ImageError
from runtime.labels import Label
from runtime.logins import Login
from runtime.policy import Confinement
from runtime.process import Execution as LiveExecution
from runtime.process import Progress
from runtime.resources import CPU_PERIOD, Amounts, Machine

log = logging.getLogger(__name__)

NAME_TAKEN = "name-taken"
NETWORK_TRIES = 3
SMALLEST_SHARED = 28
"""Bits of a subnet's prefix above which there is nothing to share between containers and Services."""
TIMEOUT = 60
PULL_TIMEOUT = 600
"""Seconds without a byte. A pull is silent while a large layer is unpacked."""

_OPENED = "/imageforge-volumes"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's words and Go's, where they differ."""
MOST_OUTPUT = 10 * 1024
"""Bytes of a command's output that are kept, as the kubelet does (kubernetes/pkg/probe/exec)."""
CODE_LOOKS = 100
CODE_LOOK_SECONDS = 0.01

_CONNECTION_LOST = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    OSError,
)


class Engine:
    """One engine, for many threads. Connects with the first call, and again after it was lost."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._lock = threading.Lock()
        self._network_lock = threading.Lock()
        self._client: docker.APIClient | None = None

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def ping(self) -> None:
        """Raise EngineError where the engine does not answer."""
        with self._translated("ping") as api:
            api.ping()

    def machine(self) -> Machine:
        """The size of the machine that the engine is on, and the labels that Kubernetes gives to every node."""
        with self._translated("info") as api:
            info = api.info()
        architecture = str(info["Architecture"])
        labels = {
            "kubernetes.io/hostname": str(info["Name"]),
            "kubernetes.io/os": str(info["OSType"]),
            "kubernetes.io/arch": ARCHITECTURES.get(architecture, architecture),
        }
        size = Amounts(cpu=int(info["NCPU"]) * 1000, memory=int(info["MemTotal"]), disk=self._disk(info))
        return Machine(
            size=size,
            labels=labels,
            cgroup_driver=str(info.get("CgroupDriver") or ""),
            unified=str(info.get("CgroupVersion")) == "2",
            apparmor=any("name=apparmor" in str(one).split(",") for one in info.get("SecurityOptions") or ()),
        )

    def _disk(self, info: Mapping[str, Any]) -> int:
        """The size of the disk that containers write to; 0 where the engine is elsewhere."""
        with contextlib.suppress(OSError):
            if self.host.startswith("unix://"):
                found = os.statvfs(str(info["DockerRootDir"]))
                return found.f_blocks * found.f_frsize
        return 0

    def places(self, container_ids: Sequence[str], volumes: Sequence[str]) -> tuple[dict[str, Path], dict[str, Path]]:
        """(where each container's writable layer is, where each volume is) on the engine's host, without those that are
        gone or of which it does not tell. Raises EngineError."""
        layers: dict[str, Path] = {}
        found: dict[str, Path] = {}
        for container_id in container_ids:
            with _UnlessGone(), self._translated(container_id[:12]) as api:
                driver = api.inspect_container(container_id).get("GraphDriver") or {}
                if (driver.get("Data") or {}).get("UpperDir"):
                    layers[container_id] = Path(driver["Data"]["UpperDir"])
        for name in volumes:
            with _UnlessGone(), self._translated(f"volume {name}") as api:
                found[name] = Path(api.inspect_volume(name)["Mountpoint"])
        return layers, found

    def ensure_image(
        self,
        reference: str,
        *,
        always_pull: bool = False,
        never_pull: bool = False,
        logins: Callable[[], Sequence[Login]] = tuple,
    ) -> ImageFacts:
        """The image, pulled where it is not there, with each of `logins` in turn; raises ImageError
        ``image-pull-failed``, ``image-never-pulled``."""
        found = None if always_pull else self._image(reference)
        if found is None and never_pull:
            raise ImageError(
                "image-never-pulled",
                reference,
                f'Container image "{reference}" is not present with pull policy of Never',
                hint="load it into the engine, or take imagePullPolicy out",
            )
        if found is None:
            self._pull(reference, logins())
            found = self._image(reference)
        if found is None:
            raise ImageError("image-pull-failed", reference, "the engine pulled it and does not have it")
        return found

    def ensure_network(self, name: str, labels: Mapping[str, str]) -> NetworkFacts | None:
        """Make the bridge network unless it is there; the engine would make a second one of the same name. None where
        it has no IPv4 addresses."""
        with self._network_lock, self._translated(f"network {name}") as api:
            there = [network for network in api.networks(names=[name]) if network["Name"] == name]
            if not there:
                return self._make_network(api, name, dict(labels))
            if (there[0].get("Labels") or {}).get(Label.INSTANCE) != labels[Label.INSTANCE]:
                raise EngineError(
                    "network-taken",
                    name,
                    "a network of this name is there and not ours",
                    hint=f"docker network rm {name}",
                )
            return network_facts(there[0])

    def known_networks(self, instance: str) -> dict[str, NetworkFacts]:
        """The instance's networks by their namespaces, without those that have no IPv4 addresses."""
        with self._translated("networks") as api:
            found = api.networks(filters={"label": f"{Label.INSTANCE}={instance}"})
        facts = {(network.get("Labels") or {}).get(Label.NAMESPACE, ""): network_facts(network) for network in found}
        return {namespace: network for namespace, network in facts.items() if namespace and network}

    def network_addresses(self, network_id: str) -> frozenset[IPv4Address]:
        """Those that the network's containers have."""
        with _UnlessGone(), self._translated(f"network {network_id[:12]}") as api:
            return used_addresses(api.inspect_network(network_id))
        return frozenset()

    def gateway(self, name: str) -> str:
        """The address of the engine's host on a bridge network."""
        with self._translated(f"network {name}") as api:
            configs = (api.inspect_network(name).get("IPAM") or {}).get("Config") or []
        return next((str(config["Gateway"]) for config in configs if config.get("Gateway")), "")

    def networks(self, instance: str) -> tuple[str, ...]:
        """The names of the instance's networks."""
        with self._translated("networks") as api:
            found = api.networks(filters={"label": f"{Label.INSTANCE}={instance}"})
        return tuple(network["Name"] for network in found)

    def remove_network(self, name: str, instance: str) -> bool:
        """Whether the instance's network is gone; False while something still uses it."""
        try:
            with self._network_lock, self._translated(f"network {name}") as api:
                for network in api.networks(filters={"label": f"{Label.INSTANCE}={instance}"}):
                    if network["Name"] == name:
                        api.remove_network(network["Id"])
        except EngineError as error:
            if error.retryable:
                raise
            log.debug("network kept", extra={"network": name, "error": str(error)})
            return False
        return True

    def ensure_imported(self, name: str, archive: Callable[[], bytes], labels: Mapping[str, str]) -> None:
        """Make an image of a root file system's tar, unless it is there."""
        if self._image(name) is not None:
            return
        repository, _, tag = name.rpartition(":")
        changes = [f'LABEL {key}="{value}"' for key, value in labels.items()]
        with self._translated(name) as api:
            api.import_image_from_data(archive(), repository=repository, tag=tag, changes=changes)

    def create(self, request: ContainerRequest, *, keep: bool = False) -> str:
        """The id of a new container, not started; one of ours with the same name is replaced. With `keep` one that has
        ended stays, as `previous_name` has it, until the next replaces it."""
        try:
            return self._create(request)
        except EngineError as error:
            if error.code != NAME_TAKEN:
                raise
        with self._translated(request.image) as api:
            for known in api.containers(all=True, filters={"name": f"^/{request.name}$"}):
                if (known.get("Labels") or {}).get(Label.INSTANCE) == request.labels[Label.INSTANCE]:
                    _make_way(api, request.name, known, keep=keep)
        return self._create(request)

    def _create(self, request: ContainerRequest) -> str:
        """Raises EngineError `name-taken`."""
        with self._translated(request.image) as api:
            host_config = api.create_host_config(
                network_mode=f"container:{request.joins}" if request.joins else request.network,
                ipc_mode=f"container:{request.joins}" if request.joins else _ipc_mode(request),
                restart_policy={"Name": "no"},
                read_only=request.read_only,
                # As mounts and not as binds: the engine would make the folder of a bind where it finds none.
                mounts=[
                    docker.types.Mount(
                        target=mount.target,
                        source=mount.source,
                        type="volume" if mount.is_volume else "bind",
                        read_only=mount.read_only,
                        # A cluster's volumes are not filled from the image.
                        no_copy=mount.is_volume,
                    )
                    for mount in request.mounts
                ],
                security_opt=_security_options(request.confinement),
                privileged=request.confinement.privileged,
                cap_add=list(request.confinement.add),
                cap_drop=list(request.confinement.drop),
                group_add=[str(group) for group in request.groups],
                cpu_shares=request.limits.cpu_shares,
                cpu_period=CPU_PERIOD if request.limits.cpu_quota else None,
                cpu_quota=request.limits.cpu_quota,
                mem_limit=request.limits.memory,
                # As much as without swap: none.
                memswap_limit=request.limits.memory,
                cgroup_parent=request.control_group or None,
                oom_score_adj=request.limits.oom_score_adj or None,
                dns=list(request.asks.nameservers) or None,
                dns_search=list(request.asks.search) or None,
                dns_opt=list(request.asks.options) or None,
                extra_hosts=[f"{name}:{address}" for name, address in request.hosts] or None,
                port_bindings={inner: [(address, outer)] for address, outer, inner in request.ports} or None,
                pid_mode=f"container:{request.joins}" if request.shares_processes else None,
                init=True if request.first_process else None,
                log_config=docker.types.LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
            )
            created = api.create_container(
                request.image,
                name=request.name,
                # Who joins another has its name, and may say none.
                hostname=None if request.joins else request.hostname,
                domainname=None if request.joins else request.domain or None,
                working_dir=request.working_dir,
                stdin_open=request.stdin,
                tty=request.tty,
                entrypoint=None if request.entrypoint is None else list(request.entrypoint),
                command=None if request.command is None else list(request.command),
                environment=dict(request.env),
                labels=dict(request.labels),
                user=request.user,
                stop_timeout=request.stop_timeout,
                ports=[inner for _, _, inner in request.ports] or None,
                healthcheck=docker.types.Healthcheck(test=["NONE"]),
                host_config=host_config,
            )
        return str(created["Id"])

    def create_beside(self, request: ContainerRequest) -> str:
        """The id of a new container, not started, while another one still has its name; empty where that cannot be, and
        nothing is removed for it. Raises EngineError."""
        try:
            return self._create(replace(request, name=next_name(request.name)))
        except EngineError as error:
            if error.code == NAME_TAKEN:
                return ""
            raise

    def succeed(self, name: str, ended: str, container_id: str) -> None:
        """Give `name` to a container that was made beside one that has ended, which is kept as `previous_name` has it.
        Raises EngineError."""
        previous = previous_name(name)
        with self._translated(name) as api:
            try:
                with _UnlessGone(), self._translated(ended[:12]):
                    api.rename(ended, previous)
            except EngineError as error:
                if error.code != NAME_TAKEN:
                    raise
                api.remove_container(previous, force=True, v=True)
                api.rename(ended, previous)
            api.rename(container_id, name)

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> str:
        """Make the volume unless it is there; when it was made, as the engine tells it. Raises EngineError
        ``volume-taken`` for one that is not ours."""
        with self._translated(f"volume {name}") as api:
            found = api.create_volume(name, labels=dict(labels))
        if (found.get("Labels") or {}).get(Label.INSTANCE) != labels[Label.INSTANCE]:
            raise EngineError(
                "volume-taken", name, "a volume of this name is there and not ours", hint=f"docker volume rm {name}"
            )
        return str(found.get("CreatedAt") or "")

    def open_volumes(
        self, image: str, modes: Mapping[str, int], labels: Mapping[str, str], *, group: int | None
    ) -> None:
        """Give volumes their modes, by way of a container that never runs; with `group` they are that group's. Raises
        EngineError."""
        with self._translated(image) as api:
            host_config = api.create_host_config(
                network_mode="none",
                mounts=[
                    docker.types.Mount(target=f"{_OPENED}/{at}", source=name, type="volume", no_copy=True)
                    for at, name in enumerate(modes)
                ],
            )
            made = api.create_container(
                image,
                entrypoint=["/never-run"],
                labels=dict(labels),
                host_config=host_config,
                healthcheck=docker.types.Healthcheck(test=["NONE"]),
            )
            try:
                api.put_archive(made["Id"], _OPENED, _open_folders(tuple(modes.values()), group))
            finally:
                api.remove_container(made["Id"], force=True, v=True)

    def fill_volume(self, name: str, image: str, labels: Mapping[str, str], *, source: str = "") -> None:
        """Copy all files of an image, or of the volume `source`, to a volume, by way of two containers that never run.
        Raises EngineError."""
        with self._translated(image) as api:
            made: list[str] = []
            try:
                for volume in (source, name):
                    mount = docker.types.Mount(target=_OPENED, source=volume, type="volume", no_copy=True)
                    mounts = [mount] if volume else []
                    container = api.create_container(
                        image,
                        entrypoint=["/never-run"],
                        labels=dict(labels),
                        host_config=api.create_host_config(network_mode="none", mounts=mounts),
                        healthcheck=docker.types.Healthcheck(test=["NONE"]),
                    )
                    made.append(container["Id"])
                files, _ = api.get_archive(made[0], f"{_OPENED if source else ''}/.")
                api.put_archive(made[1], _OPENED, files)
            finally:
                for container_id in made:
                    api.remove_container(container_id, force=True, v=True)

    def remove_volume(self, name: str, instance: str) -> bool:
        """Whether the instance's volume is gone; False while something still uses it."""
        try:
            with self._translated(f"volume {name}") as api:
                found = api.inspect_volume(name)
                if (found.get("Labels") or {}).get(Label.INSTANCE) == instance:
                    api.remove_volume(name)
        except EngineError as error:
            if error.retryable:
                raise
            return error.code == "not-found"
        return True

    def volumes(self, instance: str) -> dict[str, dict[str, str]]:
        """The labels of the instance's volumes, by name."""
        with self._translated("volumes") as api:
            found = api.volumes(filters={"label": f"{Label.INSTANCE}={instance}"})["Volumes"] or []
        return {item["Name"]: item.get("Labels") or {} for item in found}

    def start(self, container_id: str) -> None:
        """Start a created container; raises EngineError ``container-not-started`` with the engine's reason."""
        try:
            with self._translated(container_id[:12]) as api:
                api.start(container_id)
        except EngineError as error:
            if error.retryable:
                raise
            raise EngineError("container-not-started", container_id[:12], error.message) from error

    def stop(self, container_id: str, grace: float) -> None:
        """Send the image's stop signal, and SIGKILL after `grace` seconds; returns when the container has ended."""
        with _UnlessGone(), self._translated(container_id[:12]) as api:
            api.stop(container_id, timeout=int(grace))

    def remove(self, container_id: str) -> None:
        """Remove the container with its anonymous volumes; fine when it is gone."""
        with _UnlessGone(), self._translated(container_id[:12]) as api:
            _remove(api, container_id)

    def inspect(self, container_id: str) -> ContainerState | None:
        """How the container stands; None when it is gone."""
        with _UnlessGone(), self._translated(container_id[:12]) as api:
            return container_state(api.inspect_container(container_id))
        return None

    def containers(self, instance: str, known: Mapping[str, int] | None = None) -> tuple[ContainerState, ...]:
        """All containers of the instance that are replicas, ended ones too. Of those that run and whose process is
        `known`, by their ids, what the list says is enough: a look at each of a hundred costs a third of a second."""
        known = known or {}
        with self._translated("containers") as api:
            wanted = [f"{Label.INSTANCE}={instance}", str(Label.REPLICA)]
            found = api.containers(all=True, filters={"label": wanted})
        states = (
            listed_state(item, known[item["Id"]])
            if item["State"] == "running" and item["Id"] in known
            else self.inspect(item["Id"])
            for item in found
        )
        return tuple(state for state in states if state is not None)

    def owned(self, instance: str) -> tuple[str, ...]:
        """The ids of all containers of the instance, replicas or not."""
        with self._translated("containers") as api:
            found = api.containers(all=True, filters={"label": f"{Label.INSTANCE}={instance}"})
        return tuple(item["Id"] for item in found)

    def execute(self, container_id: str, command: Sequence[str], timeout: float | None) -> Execution:
        """Run a command in a running container, with its user and its variables; killed after `timeout` seconds where
        the engine is on this host, given up elsewhere."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._translated(container_id[:12]) as api:
            made: str = api.exec_create(container_id, list(command))["Id"]
            stream: Any = api.exec_start(made, socket=True)
            connection = getattr(stream, "_sock", stream)
            try:
                output = _until_end(connection, deadline)
            except TimeoutError:
                self._kill_execution(api, made, container_id)
                return Execution(code=None)
            finally:
                # What the SDK gives out is a part of the answer: that first, and then what it was read from.
                with contextlib.suppress(AttributeError, ValueError, OSError):
                    stream._response.close()
                connection.close()
            code = _exit_code(api, made)
        return Execution(code=code, output=output.decode(errors="replace"))

    def attach(self, container_id: str, command: Sequence[str], *, stdin: bool, tty: bool) -> LiveExecution:
        """Begin a command in a running container, with its user and its variables, and hold its streams. Each has
        connections of its own: those of the others are not to run out."""
        client: docker.APIClient | None = None
        try:
            with self._translated(container_id[:12]):
                client = docker.APIClient(base_url=self.host, timeout=TIMEOUT)
                made: str = client.exec_create(container_id, list(command), stdin=stdin, tty=tty)["Id"]
                stream: Any = client.exec_start(made, tty=tty, socket=True)
        except EngineError:
            if client is not None:
                client.close()
            raise
        connection = getattr(stream, "_sock", stream)
        connection.settimeout(None)
        return LiveExecution(
            connection,
            # By way of the buffer that the head of the answer was read with: it may hold the first of what follows.
            stream._response.raw._fp.fp,
            tty=tty,
            container_id=container_id,
            progress=lambda: self._progress(made),
            resize=lambda rows, columns: self._resize(made, rows, columns),
            close=lambda: _let_go(client, stream),
        )

    def _progress(self, execution: str) -> Progress:
        with self._translated(f"exec {execution[:12]}") as api:
            found = api.exec_inspect(execution)
        return Progress(running=bool(found["Running"]), pid=int(found["Pid"] or 0), code=found["ExitCode"])

    def _resize(self, execution: str, rows: int, columns: int) -> None:
        with self._translated(f"exec {execution[:12]}") as api:
            api.exec_resize(execution, height=rows, width=columns)

    def _kill_execution(self, api: docker.APIClient, execution: str, container_id: str) -> None:
        """The engine has no call for it. What is killed is seen to be of that container: the engine's processes may
        have other numbers here."""
        with contextlib.suppress(OSError):
            pid = int(api.exec_inspect(execution)["Pid"])
            watched = os.pidfd_open(pid)
            try:
                if container_id in Path(f"/proc/{pid}/cgroup").read_text():
                    signal.pidfd_send_signal(watched, signal.SIGKILL)
            finally:
                os.close(watched)

    def tail(self, container_id: str, lines: int) -> tuple[str, ...]:
        """The last lines of its output, both streams."""
        with _UnlessGone(), self._translated(container_id[:12]) as api:
            raw = api.logs(container_id, stdout=True, stderr=True, tail=lines)
            return tuple(raw.decode(errors="replace").splitlines()[-lines:])
        return ()

    def output(
        self, container_id: str, stream: StreamName, *, follow: bool, tail: int | None = None, since: int = 0
    ) -> Output:
        """One stream of a container's output, from the second `since` on; with `follow` until the container ends. Empty
        for one that is gone."""
        with _UnlessGone(), self._translated(container_id[:12]) as api:
            return Output(
                api.logs(
                    container_id,
                    stdout=stream == "stdout",
                    stderr=stream == "stderr",
                    timestamps=True,
                    stream=True,
                    follow=follow,
                    tail="all" if tail is None else tail,
                    since=since or None,
                )
            )
        return Output(None)

    def events(self, instance: str) -> Events:
        """The ends of the instance's containers, from now on. Each command that a probe runs in one would be three
        events more."""
        wanted = {"type": "container", "event": "die", "label": f"{Label.INSTANCE}={instance}"}
        with self._translated("events") as api:
            stream = api.events(decode=True, filters=wanted)
        return Events(stream)

    def _make_network(self, api: docker.APIClient, name: str, labels: dict[str, str]) -> NetworkFacts | None:
        """A network whose upper half the engine does not hand out, for Services. Which addresses are free is for the
        engine to say, so it is asked by way of a network that goes again."""
        for _ in range(NETWORK_TRIES):
            made = api.create_network(name, driver="bridge", labels=labels)
            facts = network_facts(api.inspect_network(made["Id"]))
            if facts is None or facts.subnet.prefixlen > SMALLEST_SHARED:
                return facts
            api.remove_network(made["Id"])
            pool = docker.types.IPAMPool(
                subnet=str(facts.subnet), iprange=str(containers_half(facts.subnet)), gateway=str(facts.gateway)
            )
            try:
                made = api.create_network(
                    name, driver="bridge", labels=labels, ipam=docker.types.IPAMConfig(pool_configs=[pool])
                )
            except docker.errors.APIError as error:
                log.debug("addresses taken meanwhile", extra={"network": name, "error": str(error)})
                continue
            return network_facts(api.inspect_network(made["Id"]))
        return network_facts(api.inspect_network(api.create_network(name, driver="bridge", labels=labels)["Id"]))

    def _image(self, reference: str) -> ImageFacts | None:
        with _UnlessGone(), self._translated(reference) as api:
            found = api.inspect_image(reference)  # type: ignore[no-untyped-call]
            config = found.get("Config") or {}
            ours = bool((config.get("Labels") or {}).get(Label.APP))
            return ImageFacts(image_id=found["Id"], user=config.get("User") or "", ours=ours)
        return None

    def _pull(self, reference: str, logins: Sequence[Login]) -> None:
        refused: ImageError | None = None
        for login in logins or (None,):
            try:
                self._pull_with(reference, login)
                return
            except ImageError as error:
                refused = error
        assert refused is not None, "there is one turn at least"
        raise refused

    def _pull_with(self, reference: str, login: Login | None) -> None:
        log.info("pulling", extra={"image": reference})
        auth = None if login is None else {"username": login.username, "password": login.password}
        client = docker.APIClient(base_url=self.host, timeout=PULL_TIMEOUT)
        try:
            for step in client.pull(reference, stream=True, decode=True, auth_config=auth):
                if "error" in step:
                    raise _pull_failed(reference, str(step["error"]))
        except docker.errors.APIError as error:
            raise _pull_failed(reference, str(error.explanation or error)) from error
        except _CONNECTION_LOST as error:
            raise self._lost(reference, error) from error
        finally:
            client.close()

    @contextmanager
    def _translated(self, subject: str) -> Iterator[docker.APIClient]:
        """The SDK client, its exceptions turned into ours; ``not-found`` is for the caller to judge."""
        try:
            yield self._connect()
        except docker.errors.NotFound as error:
            raise EngineError("not-found", subject, str(error.explanation or error)) from error
        except docker.errors.APIError as error:
            said = str(error.explanation or error)
            taken = error.status_code == http.HTTPStatus.CONFLICT and "is already in use by container" in said
            raise EngineError(NAME_TAKEN if taken else "engine-refused", subject, said) from error
        except (docker.errors.DockerException, *_CONNECTION_LOST) as error:
            raise self._lost(subject, error) from error

    def _connect(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                self._client = docker.APIClient(base_url=self.host, timeout=TIMEOUT, max_pool_size=64)
            return self._client

    def _lost(self, subject: str, error: Exception) -> EngineError:
        lost = EngineError(
            "engine-unreachable",
            self.host,
            f"the engine does not answer ({subject}): {error}",
            hint="imageforge doctor",
        )
        lost.retryable = True
        return lost


class _UnlessGone:
    """Passes over what was asked of an object that is gone."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return isinstance(error, EngineError) and error.code == "not-found"


class Events:
    """A stream of (action, container id); ends when the engine does or when closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[tuple[str, str]]:
        try:
            for event in self._stream:
                yield str(event.get("Action", "")), str((event.get("Actor") or {}).get("ID", ""))
        except (docker.errors.DockerException, ValueError, AttributeError, *_CONNECTION_LOST) as error:
            # A stream closed from another thread fails in whichever of these ways its reader happens to be in.
            log.debug("event stream ended", extra={"error": str(error)})

    def close(self) -> None:
        """End the stream, from any thread."""
        self._stream.close()


class Output:
    """Lines of output as (nanoseconds since the epoch, text); ends when the container does, when the engine does, or
    when closed."""

    def __init__(self, frames: Any) -> None:
        self._frames = frames

    def __iter__(self) -> Iterator[tuple[int, str]]:
        try:
            yield from _lines(self._frames or ())
        except (docker.errors.DockerException, ValueError, AttributeError, *_CONNECTION_LOST) as error:
            log.debug("output ended", extra={"error": str(error)})

    def close(self) -> None:
        """End the stream, from any thread."""
        if self._frames is not None:
            self._frames.close()


def _open_folders(modes: Sequence[int], group: int | None) -> bytes:
    """A tar of folders with the modes that the volumes are to have."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for at, mode in enumerate(modes):
            entry = tarfile.TarInfo(str(at))
            entry.type = tarfile.DIRTYPE
            entry.mode = mode
            entry.gid = group or 0
            archive.addfile(entry)
    return raw.getvalue()


def _let_go(client: docker.APIClient, stream: Any) -> None:
    # What the SDK gives out is a part of the answer: that first, and then what it was read from.
    with contextlib.suppress(AttributeError, ValueError, OSError):
        stream._response.close()
    with contextlib.suppress(OSError, ValueError):
        stream.close()
    client.close()


def _make_way(api: docker.APIClient, name: str, known: Mapping[str, Any], *, keep: bool) -> None:
    """Free a name for another container. What cannot be renamed is removed, as what never ran and what still does."""
    if keep and known.get("State") == "exited":
        with contextlib.suppress(docker.errors.NotFound):
            api.remove_container(previous_name(name), force=True, v=True)
        try:
            api.rename(known["Id"], previous_name(name))
            return
        except docker.errors.APIError as error:
            log.debug("container not kept", extra={"container": name, "error": str(error)})
    _remove(api, known["Id"])


def _remove(api: docker.APIClient, container_id: str) -> None:
    """Remove a container; where somebody else is at it already, which an engine refuses to join, wait for the end."""
    try:
        api.remove_container(container_id, force=True, v=True)
    except docker.errors.APIError as error:
        if error.status_code != http.HTTPStatus.CONFLICT or "already in progress" not in str(error.explanation):
            raise
        with contextlib.suppress(docker.errors.NotFound):
            api.wait(container_id, timeout=TIMEOUT, condition="removed")


def _ipc_mode(request: ContainerRequest) -> str | None:
    return "shareable" if request.shares_ipc else None


def _security_options(said: Confinement) -> list[str]:
    options = ["no-new-privileges:true"] if said.no_new_privileges else []
    options += [f"apparmor={said.apparmor}"] if said.apparmor else []
    if said.profile:
        return [*options, f"seccomp={said.profile}"]
    return options if said.seccomp else [*options, "seccomp=unconfined"]


def _until_end(stream: socket.socket, deadline: float | None) -> bytes:
    """The beginning of what a command writes, once it has ended. Raises TimeoutError."""
    raw = bytearray()
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        stream.settimeout(left)
        piece = stream.recv(65536)
        if not piece:
            return _unframed(bytes(raw))
        raw += piece[: max(0, MOST_OUTPUT - len(raw))]


def _unframed(raw: bytes) -> bytes:
    """The engine parts both streams into frames with a head of eight bytes: stream, three zeros, length."""
    out, at = bytearray(), 0
    while at + 8 <= len(raw):
        size = int.from_bytes(raw[at + 4 : at + 8], "big")
        out += raw[at + 8 : at + 8 + size]
        at += 8 + size
    return bytes(out)


def _exit_code(api: docker.APIClient, execution: str) -> int | None:
    """The engine closes the stream a moment before it knows the code."""
    for _ in range(CODE_LOOKS):
        found = api.exec_inspect(execution)
        if not found["Running"] and found["ExitCode"] is not None:
            return int(found["ExitCode"])
        time.sleep(CODE_LOOK_SECONDS)
    return None


def _pull_failed(reference: str, reason: str) -> ImageError:
    return ImageError(
        "image-pull-failed",
        reference,
        f"cannot be pulled: {reason}",
        hint="check the name, and that the engine reaches the registry; or build it here under that name",
    )


def _lines(frames: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """The engine parts a line of more than 16 KiB into several frames, each with a time stamp of its own."""
    at = 0
    parts: list[str] = []
    for frame in frames:
        stamp, text = split_timestamp(frame.decode(errors="replace"))
        at = at if parts else stamp
        parts.append(text)
        if text.endswith("\n"):
            yield at, "".join(parts).rstrip("\r\n")
            parts.clear()
    if parts:
        yield at, "".join(parts)

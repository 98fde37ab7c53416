"""The Docker Engine, as the controller needs it: the only module of the runtime that imports its SDK."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import docker
import docker.errors
import docker.types
import requests

from runtime.errors import EngineError, ImageError
from runtime.labels import Label
from runtime.manifest.model import ContainerSpec

log = logging.getLogger(__name__)

TIMEOUT = 60
PULL_TIMEOUT = 600
EVENTS_TIMEOUT = 30
"""Seconds without a byte after which the stream of events is opened anew: a lost connection is silent."""
LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerFacts:
    """A container as the engine sees it. `pid` is on the engine's host, 0 when it does not run."""

    id: str
    replica: str
    running: bool
    created: bool
    address: str
    pid: int
    exit_code: int
    oom_killed: bool
    started_at: float
    finished_at: float
    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerEvent:
    """Something that happened to one of our containers: ``die``, ``oom``, ``start`` …"""

    action: str
    container_id: str


class Engine:
    """One engine and one instance's objects in it; nothing without the instance's label is listed or touched."""

    def __init__(self, host: str, instance: str) -> None:
        self.host = host
        self._instance = instance
        # API 1.41 is Engine 20.10's; newer engines answer it up to 29.2, and 1.44 from there.
        self._client = self._connect(TIMEOUT)
        self._networks = threading.Lock()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def answers(self) -> bool:
        """Whether the engine is there."""
        try:
            with _translated(self.host):
                self._client.ping()
        except EngineError:
            return False
        return True

    def ensure_network(self, namespace: str) -> str:
        """The namespace's bridge network; gives its name."""
        name = f"imageforge-{self._instance}-{namespace}"
        # The engine takes two networks of one name when two replicas ask at once, and then knows neither by it.
        with self._networks, _translated(self.host):
            if not self._client.networks.list(names=[f"^{name}$"]):
                labels = {Label.INSTANCE.value: self._instance, Label.NAMESPACE.value: namespace}
                self._client.networks.create(name, driver="bridge", labels=labels)
        return name

    def ensure_image(self, reference: str, *, always: bool) -> dict[str, Any]:
        """The image's configuration, pulled where it is absent (or always, for a tag). A digest whose image the engine
        has under its ID costs one small request. Raises ImageError (`image-unavailable`)."""
        with _translated(self.host):
            if not always or "@" in reference:
                with contextlib.suppress(docker.errors.ImageNotFound):
                    return self._inspect_image(reference)
            client = self._connect(PULL_TIMEOUT)
            try:
                repository, tag = _split(reference)
                client.api.pull(repository, tag=tag)
            except docker.errors.APIError as error:
                raise ImageError(
                    "image-unavailable",
                    reference,
                    f"it cannot be pulled: {str(error.explanation or error)[:300]}",
                    hint="check the name, and that its registry runs: imageforge doctor",
                ) from error
            finally:
                client.close()
            return self._inspect_image(reference)

    def create(
        self,
        *,
        name: str,
        replica: str,
        spec: ContainerSpec,
        environment: Mapping[str, str],
        command: tuple[list[str] | None, list[str] | None],
        network: str,
        labels: Mapping[str, str],
    ) -> str:
        """Create a container and start it; gives its ID. `command` is (entrypoint, arguments), None: the image's own.

        Raises ImageError (`container-refused`) for what the engine refuses: a missing program, a bad user.
        """
        security = ["no-new-privileges"] if not spec.security.allow_privilege_escalation else []
        entrypoint, arguments = command
        with _translated(self.host):
            api = self._client.api
            host_config = api.create_host_config(
                network_mode=network,
                restart_policy={"Name": "no"},
                security_opt=security,
                read_only=spec.security.read_only_root,
                log_config=docker.types.LogConfig(type="json-file", config=LOG_OPTIONS),
                init=False,
            )
            user = spec.security.run_as_user
            try:
                made = api.create_container(
                    image=spec.image,
                    name=name,
                    hostname=replica,
                    # With an entrypoint of its own an image's CMD must be cleared, or it would follow as arguments.
                    entrypoint=entrypoint,
                    command=arguments if arguments is not None else ([] if entrypoint else None),
                    environment=dict(environment),
                    user=None if user is None else str(user),
                    labels={**labels, Label.INSTANCE.value: self._instance, Label.REPLICA.value: replica},
                    host_config=host_config,
                    healthcheck={"Test": ["NONE"]},
                    stop_signal=None,
                )
                api.start(made["Id"])
            except docker.errors.APIError as error:
                said = str(error.explanation)
                # The container's own fault; an engine that is broken says 500 as well, but not of the OCI runtime.
                if (error.status_code or 500) < 500 or "OCI runtime" in said or "unable to find user" in said:
                    raise ImageError(
                        "container-refused",
                        spec.image,
                        str(error.explanation or error)[:300],
                        hint="check command, user and paths of the image",
                    ) from error
                raise
        return str(made["Id"])

    def inspect(self, container_id: str) -> ContainerFacts | None:
        """A container of ours; None where it is gone."""
        with _translated(self.host):
            try:
                return _facts(self._client.api.inspect_container(container_id))
            except docker.errors.NotFound:
                return None

    def containers(self) -> tuple[ContainerFacts, ...]:
        """Every container of this instance, running or not."""
        with _translated(self.host):
            found = self._client.api.containers(all=True, filters={"label": f"{Label.INSTANCE}={self._instance}"})
        inspected = (self.inspect(row["Id"]) for row in found)
        return tuple(facts for facts in inspected if facts)

    def stop(self, container_id: str, grace: float) -> None:
        """STOPSIGNAL, and SIGKILL after `grace` seconds; a container that is gone is fine."""
        with _translated(self.host), contextlib.suppress(docker.errors.NotFound):
            client = self._connect(int(grace) + TIMEOUT)
            try:
                client.api.stop(container_id, timeout=int(grace))
            finally:
                client.close()

    def remove(self, container_id: str) -> None:
        """Remove a container, running or not, and its anonymous volumes."""
        with _translated(self.host), contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
            self._client.api.remove_container(container_id, force=True, v=True)

    def remove_networks(self) -> None:
        """Remove the instance's networks."""
        with _translated(self.host):
            for network in self._client.networks.list(filters={"label": f"{Label.INSTANCE}={self._instance}"}):
                with contextlib.suppress(docker.errors.APIError):
                    network.remove()

    def tail(self, container_id: str, lines: int) -> tuple[str, ...]:
        """The last lines of a container's output."""
        with _translated(self.host), contextlib.suppress(docker.errors.APIError):
            raw = self._client.api.logs(container_id, tail=lines)
            return tuple(raw.decode(errors="replace").splitlines())
        return ()

    def output(
        self, container_id: str, *, follow: bool, tail: int | None, closing: Callable[[Callable[[], None]], None]
    ) -> Iterator[tuple[str, float, str]]:
        """(stream, time, line) of a container's output. `closing` is given a function that ends a following read."""
        client = self._connect(None if follow else TIMEOUT)
        closing(client.close)
        with contextlib.suppress(docker.errors.APIError, requests.exceptions.RequestException, OSError, ValueError):
            yield from _output(client, container_id, follow=follow, tail=tail)
        client.close()

    def events(self, stopped: Callable[[], bool]) -> Iterator[ContainerEvent | None]:
        """What happens to our containers, until `stopped`. None after each (re)connection: what happened before is not
        told, so look. Never raises; an engine that is gone is asked again with growing pauses."""
        pause = 0.1
        while not stopped():
            try:
                client = self._connect(EVENTS_TIMEOUT)
            except EngineError:
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
                continue
            pause = 0.1
            try:
                stream = client.api.events(
                    decode=True, filters={"type": "container", "label": f"{Label.INSTANCE}={self._instance}"}
                )
                yield None
                for event in stream:
                    if stopped():
                        return
                    yield ContainerEvent(action=str(event["Action"]), container_id=str(event["Actor"]["ID"]))
            except (requests.exceptions.RequestException, docker.errors.DockerException, OSError):
                time.sleep(pause)
            finally:
                client.close()

    def _inspect_image(self, reference: str) -> dict[str, Any]:
        found = self._client.api.inspect_image(reference)  # type: ignore[no-untyped-call]
        return dict(found.get("Config") or {})

    def _connect(self, timeout: int | None) -> docker.DockerClient:
        try:
            return docker.DockerClient(base_url=self.host, version="auto", timeout=timeout)  # type: ignore[arg-type]
        except docker.errors.DockerException as error:
            raise _gone(self.host, error) from error


def _output(
    client: docker.DockerClient, container_id: str, *, follow: bool, tail: int | None
) -> Iterator[tuple[str, float, str]]:
    """Lines of both streams in the order in which the engine gives them."""
    frames = client.api.logs(
        container_id,
        stream=True,
        follow=follow,
        timestamps=True,
        tail="all" if tail is None else tail,
    )
    pending = b""
    for frame in frames:
        *lines, pending = (pending + frame).split(b"\n")
        for line in lines:
            stamp, _, text = line.decode(errors="replace").partition(" ")
            yield "stdout", _timestamp(stamp), text.rstrip("\r")
    if pending:
        stamp, _, text = pending.decode(errors="replace").partition(" ")
        yield "stdout", _timestamp(stamp), text


@contextlib.contextmanager
def _translated(host: str) -> Iterator[None]:
    try:
        yield
    except requests.exceptions.RequestException as error:
        raise _gone(host, error) from error
    except docker.errors.APIError as error:
        if isinstance(error, docker.errors.NotFound):
            raise
        raise EngineError(
            "engine-failed", host, str(error.explanation or error)[:300], hint="see the engine's log"
        ) from error


def _gone(host: str, error: Exception) -> EngineError:
    return EngineError("engine-unreachable", host, f"it does not answer: {error}", hint="imageforge status")


def _facts(raw: Mapping[str, Any]) -> ContainerFacts:
    state = raw["State"]
    # The top-level address is empty on networks other than the default bridge, and gone from API 1.52 on.
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    labels = (raw.get("Config") or {}).get("Labels") or {}
    return ContainerFacts(
        id=str(raw["Id"]),
        replica=str(labels.get(Label.REPLICA.value, "")),
        running=bool(state.get("Running")),
        created=state.get("Status") == "created",
        address=next((str(net["IPAddress"]) for net in networks.values() if net.get("IPAddress")), ""),
        pid=int(state.get("Pid") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        started_at=_timestamp(str(state.get("StartedAt", ""))),
        finished_at=_timestamp(str(state.get("FinishedAt", ""))),
        error=str(state.get("Error") or ""),
        labels=labels,
    )


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _timestamp(text: str) -> float:
    """RFC 3339 with nanoseconds, which Python's reader does not take, as Unix seconds; 0 for none."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return 0.0
    zone = "+00:00" if match[3] == "Z" else match[3]
    return max(0.0, datetime.fromisoformat(match[1] + zone).timestamp() + float(match[2] or 0))


def _split(reference: str) -> tuple[str, str]:
    """Repository, and tag or digest, as the engine's pull takes them."""
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        return repository, digest
    head, slash, last = reference.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{head}{slash}{name}", tag or "latest"

"""Containers from their making to their removal."""

from __future__ import annotations

import contextlib
import http
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import docker
import docker.errors
import docker.types

from runtime.container import (
    ContainerRequest,
    ContainerState,
    container_state,
    listed_state,
    next_name,
    previous_name,
)
from runtime.engine.connection import NAME_TAKEN, TIMEOUT, Connection, UnlessGone
from runtime.errors import EngineError
from runtime.labels import Label
from runtime.policy import Confinement
from runtime.resources import CPU_PERIOD

log = logging.getLogger(__name__)


class Containers(Connection):
    """The engine's containers."""

    def create(self, request: ContainerRequest, *, keep: bool = False) -> str:
        """The id of a new container, not started; one of ours with the same name is replaced. With `keep` one that has
        ended stays, as `previous_name` has it, until the next replaces it."""
        try:
            return self._create(request)
        except EngineError as error:
            if error.code != NAME_TAKEN:
                raise
        with self.translated(request.image) as api:
            for known in api.containers(all=True, filters={"name": f"^/{request.name}$"}):
                if (known.get("Labels") or {}).get(Label.INSTANCE) == request.labels[Label.INSTANCE]:
                    _make_way(api, request.name, known, keep=keep)
        return self._create(request)

    def _create(self, request: ContainerRequest) -> str:
        """Raises EngineError `name-taken`."""
        with self.translated(request.image) as api:
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
        with self.translated(name) as api:
            try:
                with UnlessGone(), self.translated(ended[:12]):
                    api.rename(ended, previous)
            except EngineError as error:
                if error.code != NAME_TAKEN:
                    raise
                api.remove_container(previous, force=True, v=True)
                api.rename(ended, previous)
            api.rename(container_id, name)

    def start(self, container_id: str) -> None:
        """Start a created container; raises EngineError ``container-not-started`` with the engine's reason."""
        try:
            with self.translated(container_id[:12]) as api:
                api.start(container_id)
        except EngineError as error:
            if error.retryable:
                raise
            raise EngineError("container-not-started", container_id[:12], error.message) from error

    def stop(self, container_id: str, grace: float) -> None:
        """Send the image's stop signal, and SIGKILL after `grace` seconds; returns when the container has ended."""
        with UnlessGone(), self.translated(container_id[:12]) as api:
            api.stop(container_id, timeout=int(grace))

    def remove(self, container_id: str) -> None:
        """Remove the container with its anonymous volumes; fine when it is gone."""
        with UnlessGone(), self.translated(container_id[:12]) as api:
            _remove(api, container_id)

    def inspect(self, container_id: str) -> ContainerState | None:
        """How the container stands; None when it is gone."""
        with UnlessGone(), self.translated(container_id[:12]) as api:
            return container_state(api.inspect_container(container_id))
        return None

    def containers(self, instance: str, known: Mapping[str, int] | None = None) -> tuple[ContainerState, ...]:
        """All containers of the instance that are replicas, ended ones too. Of those that run and whose process is
        `known`, by their ids, what the list says is enough: a look at each of a hundred costs a third of a second."""
        known = known or {}
        with self.translated("containers") as api:
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
        with self.translated("containers") as api:
            found = api.containers(all=True, filters={"label": f"{Label.INSTANCE}={instance}"})
        return tuple(item["Id"] for item in found)


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
            if api.wait(container_id, timeout=TIMEOUT, condition="removed").get("Error"):
                api.remove_container(container_id, force=True, v=True)  # theirs failed


def _ipc_mode(request: ContainerRequest) -> str | None:
    return "shareable" if request.shares_ipc else None


def _security_options(said: Confinement) -> list[str]:
    options = ["no-new-privileges:true"] if said.no_new_privileges else []
    options += [f"apparmor={said.apparmor}"] if said.apparmor else []
    if said.profile:
        return [*options, f"seccomp={said.profile}"]
    return options if said.seccomp else [*options, "seccomp=unconfined"]

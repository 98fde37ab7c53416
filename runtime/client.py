"""The controller, as everybody else sees it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from runtime.errors import ControllerUnreachable, NotFound
from runtime.figures import AutoscalerStatus, NodeFigures, ReplicaFigures, ServiceFigures
from runtime.model import (
    AppliedObject,
    ControllerInfo,
    CronJobStatus,
    DeploymentStatus,
    Event,
    JobStatus,
    LogLine,
    ObjectChange,
    ObjectView,
    PodStatus,
    RevisionStatus,
    SecretStatus,
    Selection,
    ServiceCounters,
    ServiceStatus,
)
from runtime.rollout import RolloutRecord
from runtime.session import Session
from runtime.wire import PROTOCOL, encode, unpack, unpack_failure

TIMEOUT = 30.0
"""Seconds without a sign of life; a stream gives one every second."""
FORBIDDEN = "controller-forbidden"
AGAIN_SECONDS = 0.1
"""How long a patient client waits before it looks again for a controller that is away."""


class ControllerClient:
    """Talks to the controller on `path`. Safe to share: each call is a connection of its own.

    Every method raises ControllerUnreachable where nobody answers, and the controller's own errors as they were raised
    there: ManifestError, NotFound, Conflict and the rest. With `patience`, calls that answer at once are tried again
    for that many seconds while the controller is away: it may be killed or replaced in the middle, and whatever one
    asks of it may be asked twice. A `delete` that was lost after it was done raises NotFound.
    """

    def __init__(self, path: Path, *, patience: float = 0.0) -> None:
        self._path = path
        self._patience = patience

    def patient(self, seconds: float) -> ControllerClient:
        """The same controller, for somebody who waits that long for it."""
        return ControllerClient(self._path, patience=seconds)

    def info(self) -> ControllerInfo:
        """Who answers."""
        return cast(ControllerInfo, self._one("info"))

    def apply(
        self, manifests: str, *, source: str = "manifest.yaml", place: str | None = None
    ) -> tuple[AppliedObject, ...]:
        """Make the objects as the YAML text says, all or none; returns once it is stored. `source` names the text in
        errors. Objects that name no namespace are in `place`, where that is given, and none may name another."""
        return tuple(self._all("apply", manifests=manifests, source=source, **_given(place=place)))

    def check(
        self, manifests: str, *, source: str = "manifest.yaml", place: str | None = None
    ) -> tuple[AppliedObject, ...]:
        """What `apply` would do or refuse; changes nothing."""
        return tuple(self._all("check", manifests=manifests, source=source, **_given(place=place)))

    def preview(
        self, manifests: str, *, source: str = "manifest.yaml", place: str | None = None
    ) -> tuple[ObjectChange, ...]:
        """What `apply` would change, with the text before and after; or the error it would raise."""
        return tuple(self._all("preview", manifests=manifests, source=source, **_given(place=place)))

    def views(self, kind: str | None = None, namespace: str | None = None) -> tuple[ObjectView, ...]:
        """The objects of a kind or of all, of a namespace or of all, as they stand."""
        return tuple(self._all("views", kind=kind, namespace=namespace))

    def deployments(self, namespace: str | None = None) -> tuple[DeploymentStatus, ...]:
        """How the Deployments stand, of one namespace or of all."""
        return tuple(self._all("deployments", namespace=namespace))

    def deployment(self, namespace: str, name: str) -> DeploymentStatus:
        """How one Deployment stands; one that is being deleted is there until its last replica is gone."""
        return cast(DeploymentStatus, self._one("deployment", namespace=namespace, name=name))

    def watch(self, namespace: str, name: str, *, timeout: float | None = None) -> Iterator[DeploymentStatus]:
        """A status at once, at each change and at least every second; ends after `timeout` seconds, with the
        Deployment, or with the controller; with patience it outlives that one."""
        if not self._patience:
            return self._stream("watch", namespace=namespace, name=name, timeout=timeout)
        return self._watch(namespace, name, timeout)

    def scale(self, namespace: str, name: str, replicas: int) -> None:
        """Set the number of replicas; it outlives an apply of a manifest that names none."""
        self._none("scale", namespace=namespace, name=name, replicas=replicas)

    def autoscalers(self, namespace: str | None = None) -> tuple[AutoscalerStatus, ...]:
        """How the HorizontalPodAutoscalers stand, of one namespace or of all."""
        return tuple(self._all("autoscalers", namespace=namespace))

    def autoscalers_of(self, namespace: str, name: str) -> tuple[str, ...]:
        """The names of those that scale a Deployment."""
        return tuple(self._all("autoscalers_of", namespace=namespace, name=name))

    def top_replicas(self, namespace: str | None = None) -> tuple[ReplicaFigures, ...]:
        """What the replicas use, of one namespace or of all. Who is the first to ask for figures waits for a second."""
        return tuple(self._all("top_replicas", namespace=namespace))

    def top_services(self, namespace: str | None = None) -> tuple[ServiceFigures, ...]:
        """What the Services do, of one namespace or of all; as `top_replicas`."""
        return tuple(self._all("top_services", namespace=namespace))

    def top_node(self) -> NodeFigures:
        """What the machine has, and what of it is used; as `top_replicas`."""
        return cast(NodeFigures, self._one("top_node"))

    def restart(self, namespace: str, name: str) -> None:
        """Replace every replica by a rolling update."""
        self._none("restart", namespace=namespace, name=name)

    def pause(self, namespace: str, name: str) -> None:
        """Roll nothing of a Deployment out any more; it can be scaled. Raises Conflict where it is paused."""
        self._none("pause", namespace=namespace, name=name, paused=True)

    def resume(self, namespace: str, name: str) -> None:
        """Go on. Raises Conflict where it is not paused."""
        self._none("pause", namespace=namespace, name=name, paused=False)

    def undo(self, namespace: str, name: str, *, revision: int | None = None) -> AppliedObject:
        """Go back to the template of a revision, by rolling update; None is the one before. Raises Conflict for a
        paused one and for one that belongs to an app, NotFound for a revision that is not kept."""
        return cast(AppliedObject, self._one("undo", namespace=namespace, name=name, number=revision))

    def revisions(self, namespace: str, name: str) -> tuple[RevisionStatus, ...]:
        """The templates that a Deployment has and had, the oldest first."""
        return tuple(self._all("revisions", namespace=namespace, name=name))

    def rollouts(self, namespace: str, name: str) -> tuple[RolloutRecord, ...]:
        """The records of a Deployment's last rollouts, the newest last; of one that goes on as it stands."""
        return tuple(self._all("rollouts", namespace=namespace, name=name))

    def note_rollout(self, namespace: str, name: str, number: int, own: Mapping[str, Any]) -> None:
        """Add to the record with this number what a watcher has to say, in JSON's types; it replaces what was said."""
        self._none("note_rollout", namespace=namespace, name=name, number=number, own=dict(own))

    def watch_rollout(self, namespace: str, name: str, *, timeout: float | None = None) -> Iterator[RolloutRecord]:
        """The newest record at once, at each change and at least every second; ends after `timeout` seconds, when it
        has ended, with the Deployment, or with the controller; with patience it outlives that one. Raises NotFound
        (`no-rollout`)."""
        if not self._patience:
            return self._stream("watch_rollout", namespace=namespace, name=name, timeout=timeout)
        return self._watch_rollout(namespace, name, timeout)

    def delete(self, namespace: str, kind: str, name: str, *, volumes: bool = False) -> None:
        """Delete an object; ``Namespace`` goes with all that is in it. The replicas of a Deployment are drained and
        stopped meanwhile, the pod of a Job is stopped. With `volumes` what a claim holds goes with it."""
        self._none("delete", namespace=namespace, kind=kind, name=name, **_given(volumes=volumes or None))

    def secrets(self, namespace: str | None = None) -> tuple[SecretStatus, ...]:
        """The Secrets, of one namespace or of all, without their values."""
        return tuple(self._all("secrets", namespace=namespace))

    def pods(self, namespace: str | None = None) -> tuple[PodStatus, ...]:
        """How the pods stand that are no Deployment's, of one namespace or of all."""
        return tuple(self._all("pods", namespace=namespace))

    def pod(self, namespace: str, name: str) -> PodStatus:
        """How one of them stands; one that is being deleted is there until its containers are gone."""
        return cast(PodStatus, self._one("pod", namespace=namespace, name=name))

    def watch_pod(self, namespace: str, name: str, *, timeout: float | None = None) -> Iterator[PodStatus]:
        """A status at once, at each change and at least every second; ends after `timeout` seconds, with the pod, or
        with the controller. Raises NotFound where it is not there at first."""
        self.pod(namespace, name)
        return self._stream("watch_pod", namespace=namespace, name=name, timeout=timeout)

    def pod_logs(
        self, namespace: str, name: str, *, container: str | None = None, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        """The output of a pod's containers, or of one, merged by time, each under its name; with `follow` until the pod
        is done."""
        return self._stream("pod_logs", namespace=namespace, name=name, container=container, follow=follow, tail=tail)

    def jobs(self, namespace: str | None = None) -> tuple[JobStatus, ...]:
        """How the Jobs stand, of one namespace or of all."""
        return tuple(self._all("jobs", namespace=namespace))

    def cron_jobs(self, namespace: str | None = None) -> tuple[CronJobStatus, ...]:
        """How the CronJobs stand, of one namespace or of all."""
        return tuple(self._all("cron_jobs", namespace=namespace))

    def job(self, namespace: str, name: str) -> JobStatus:
        """How one Job stands; one that is being deleted is there until its containers are gone."""
        return cast(JobStatus, self._one("job", namespace=namespace, name=name))

    def watch_job(self, namespace: str, name: str, *, timeout: float | None = None) -> Iterator[JobStatus]:
        """A status at once, at each change and at least every second; ends after `timeout` seconds, when the Job is
        done or gone, or with the controller."""
        return self._stream("watch_job", namespace=namespace, name=name, timeout=timeout)

    def logs(
        self, namespace: str, name: str, *also: str, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        """The output of a Deployment's replicas, and those of others `also`, merged by time; the last `tail` lines of
        each, then with `follow` what comes, from replicas that start later too."""
        for line in self.log_beats(namespace, name, *also, follow=follow, tail=tail):
            if line is not None:
                yield line

    def log_beats(
        self, namespace: str, name: str, *also: str, follow: bool = False, tail: int | None = None
    ) -> Generator[LogLine | None, None, None]:
        """The same, and None every second or so that brings no line: for a reader who may have to stop meanwhile."""
        more = {"also": also} if also else {}
        return self._stream("logs", beats=True, namespace=namespace, name=name, follow=follow, tail=tail, **more)

    def job_logs(
        self, namespace: str, name: str, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        """The output of a Job's pods, merged by time; with `follow` until the Job is done."""
        return self._stream("job_logs", namespace=namespace, name=name, follow=follow, tail=tail)

    def output(
        self,
        selection: Selection,
        *,
        follow: bool = False,
        tail: int | None = None,
        previous: bool = False,
        since: float = 0.0,
    ) -> Iterator[LogLine]:
        """What the containers of a selection wrote, merged by time: of each the last `tail` lines, none from before
        `since` in Unix seconds; with `follow` what comes, over replicas and restarts. `previous` is of those before the
        last restart, and raises NotFound (`no-previous`) where there is none. A CronJob is its latest Job."""
        return self._stream(
            "output", selection=asdict(selection), follow=follow, tail=tail, previous=previous, since=since
        )

    def execute(
        self,
        selection: Selection,
        command: Sequence[str],
        *,
        replica: str = "",
        stdin: bool = False,
        tty: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Session:
        """Begin a command in a running container of a selection: of the pod `replica` where one is named, else of the
        first that is ready. `size` are the rows and columns of its terminal. Raises NotFound, Conflict (`not-running`,
        `too-many-sessions`), RuntimeFailure (`command-not-found`, `command-not-executable`, `command-not-begun`)."""
        connection = self._connect()
        try:
            params = {
                "selection": asdict(selection),
                "command": list(command),
                "replica": replica,
                "stdin": stdin,
                "tty": tty,
                "size": list(size or ()),
            }
            connection.sendall(encode({"protocol": PROTOCOL, "method": "execute", "params": params}))
            message = json.loads(_line(connection))
            if "error" in message:
                raise unpack_failure(message["error"])
            connection.settimeout(None)
        except (OSError, ValueError) as error:
            connection.close()
            raise self._lost(str(error) or type(error).__name__) from error
        except BaseException:
            connection.close()
            raise
        return Session(connection, str(self._path), message["item"])

    def events(
        self,
        namespace: str | None = None,
        kind: str | None = None,
        name: str | None = None,
        *,
        follow: bool = False,
    ) -> Iterator[Event]:
        """What happened to one object, to those of a namespace or to all, the latest last; then with `follow` what
        comes, one that repeats with its new count."""
        return self._stream("events", namespace=namespace, kind=kind, name=name, follow=follow)

    def event_beats(
        self, namespace: str | None = None, kind: str | None = None, name: str | None = None, *, follow: bool = False
    ) -> Generator[Event | None, None, None]:
        """The same, and None every second or so that brings none: for a reader who may have to stop meanwhile."""
        return self._stream("events", beats=True, namespace=namespace, kind=kind, name=name, follow=follow)

    def counters(self, namespace: str, service: str) -> ServiceCounters:
        """What HAProxy counted for a Service; the sums never go back."""
        return cast(ServiceCounters, self._one("counters", namespace=namespace, service=service))

    def services(self, namespace: str | None = None) -> tuple[ServiceStatus, ...]:
        """How the Services stand, of one namespace or of all."""
        return tuple(self._all("services", namespace=namespace))

    def manifests(self, namespace: str, name: str) -> str:
        """A Deployment as it stands, the Services that lead to it, and the Secrets it uses, masked, as YAML."""
        return cast(str, self._one("manifests", namespace=namespace, name=name))

    def _one(self, method: str, **params: Any) -> Any:
        return self._all(method, **params)[0]

    def _none(self, method: str, **params: Any) -> None:
        self._all(method, **params)

    def _watch(self, namespace: str, name: str, timeout: float | None) -> Iterator[DeploymentStatus]:
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if until is None else until - time.monotonic()
            try:
                yield from self._stream("watch", namespace=namespace, name=name, timeout=left)
            except ControllerUnreachable as error:
                if error.code == FORBIDDEN:
                    raise
            if until is not None and time.monotonic() >= until:
                return
            time.sleep(AGAIN_SECONDS)
            try:
                self.deployment(namespace, name)  # which waits for the controller
            except NotFound:
                return

    def _watch_rollout(self, namespace: str, name: str, timeout: float | None) -> Iterator[RolloutRecord]:
        until = None if timeout is None else time.monotonic() + timeout
        left, record = timeout, None
        while True:
            try:
                for record in self._stream("watch_rollout", namespace=namespace, name=name, timeout=left):
                    yield record
            except ControllerUnreachable as error:
                if error.code == FORBIDDEN:
                    raise
            left = None if until is None else max(0.0, until - time.monotonic())
            # However long the controller was away, the record is looked at once.
            if record is not None and (record.ended or left == 0.0):
                return
            time.sleep(AGAIN_SECONDS)
            try:
                self.rollouts(namespace, name)  # which waits for the controller
            except NotFound:
                return

    def _all(self, method: str, **params: Any) -> list[Any]:
        until = time.monotonic() + self._patience
        while True:
            try:
                return list(self._stream(method, **params))
            except ControllerUnreachable as error:
                if error.code == FORBIDDEN or time.monotonic() >= until:
                    raise
            time.sleep(AGAIN_SECONDS)

    def _stream(self, method: str, *, beats: bool = False, **params: Any) -> Generator[Any, None, None]:
        with self._connect() as connection:
            try:
                connection.sendall(encode({"protocol": PROTOCOL, "method": method, "params": params}))
                with connection.makefile("rb") as lines:
                    for line in lines:
                        message = json.loads(line)
                        if "item" in message:
                            yield unpack(message["item"])
                        elif "error" in message:
                            raise unpack_failure(message["error"])
                        elif "done" in message:
                            return
                        elif beats and "beat" in message:
                            yield None
            except OSError as error:
                raise self._lost(str(error) or type(error).__name__) from error
        raise self._lost("it closed the connection")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(str(self._path))
        except PermissionError as error:
            connection.close()
            raise ControllerUnreachable(
                FORBIDDEN,
                str(self._path),
                "permission denied: the socket is another user's",
                hint="run as the user who ran `imageforge up`",
            ) from error
        except OSError as error:
            connection.close()
            raise ControllerUnreachable(
                "controller-unreachable", str(self._path), f"no controller answers: {error}", hint="imageforge up"
            ) from error
        return connection

    def _lost(self, reason: str) -> ControllerUnreachable:
        return ControllerUnreachable(
            "controller-lost", str(self._path), f"the controller went away: {reason}", hint="imageforge up"
        )


def _line(connection: socket.socket) -> bytes:
    """The first line, and not a byte more: what follows is no text."""
    out = bytearray()
    while not out.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece:
            raise ConnectionError("it closed the connection")
        out += piece
    return bytes(out)


def _given(**params: Any) -> dict[str, Any]:
    """Those that say something: a controller of the version before knows no others."""
    return {name: value for name, value in params.items() if value is not None}

"""The controller's socket: who may connect is decided by the file's mode, 0600."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtime.controller import Controller
from runtime.errors import NotFound, RuntimeFailure
from runtime.job import Attempt
from runtime.logs import LogReader
from runtime.model import ControllerInfo, JobPhase, PodPhase
from runtime.roster import Replica, pod_replica
from runtime.standing import ContainerRecord
from runtime.version import version
from runtime.wire import PROTOCOL, Value, encode, pack, pack_failure

log = logging.getLogger(__name__)

MAX_REQUEST = 8 * 1024 * 1024
LONGEST_PATH = 107
"""Bytes in the path of a Unix socket on Linux, unix(7)."""

WATCH_SECONDS = 1.0
PATIENCE = 30.0
"""Seconds that a caller may take to ask, or to read what it was told."""


class ControllerServer:
    """Answers on `path` until closed."""

    def __init__(self, path: Path, controller: Controller) -> None:
        if len(os.fsencode(path)) > LONGEST_PATH:
            raise RuntimeFailure(
                "socket-path-too-long",
                str(path),
                f"a socket's path has at most {LONGEST_PATH} bytes",
                hint="use a home with a shorter path",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        answers = Answers(controller)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _converse(self.connection, answers)

        before = os.umask(0o177)
        try:
            self._server = _Server(str(path), Handler)
        finally:
            os.umask(before)
        self._path = path
        self._thread = threading.Thread(target=self._server.serve_forever, name="server", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


class Answers:
    """One method of the protocol, one method here; each gives its items."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._objects = controller.objects

    def info(self) -> Iterable[Value]:
        controller = self._controller
        yield ControllerInfo(
            pid=os.getpid(),
            version=version(),
            instance=controller.settings.instance,
            engine=controller.settings.engine,
            started_at=controller.started_at,
            engine_ok=controller.watch.error is None,
            balancer_ok=controller.balancer.error is None,
        )

    def apply(self, manifests: str, source: str) -> Iterable[Value]:
        return self._objects.apply(manifests, source)

    def check(self, manifests: str, source: str) -> Iterable[Value]:
        return self._objects.check(manifests, source)

    def preview(self, manifests: str, source: str) -> Iterable[Value]:
        return self._objects.preview(manifests, source)

    def views(self, kind: str | None, namespace: str | None) -> Iterable[Value]:
        return self._controller.views(kind, namespace)

    def deployments(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.statuses(namespace)

    def deployment(self, namespace: str, name: str) -> Iterable[Value]:
        yield self._controller.status(namespace, name)

    def watch(self, namespace: str, name: str, timeout: float | None) -> Iterable[Value]:
        """A status at each change, and at least every second; ends after `timeout` seconds or with the Deployment."""
        deadline = None if timeout is None else time.monotonic() + timeout
        seen = 0
        status = self._controller.status(namespace, name)
        while not self._controller.stopping:
            yield status
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
            if left <= 0:
                return
            seen = self._controller.roster.wait(seen, left)
            try:
                status = self._controller.status(namespace, name)
            except NotFound:
                return

    def scale(self, namespace: str, name: str, replicas: int) -> Iterable[Value]:
        self._objects.scale(namespace, name, replicas)
        return ()

    def restart(self, namespace: str, name: str) -> Iterable[Value]:
        self._objects.restart(namespace, name, datetime.now(UTC).isoformat())
        return ()

    def pause(self, namespace: str, name: str, paused: bool) -> Iterable[Value]:
        self._objects.pause(namespace, name, paused=paused)
        return ()

    def undo(self, namespace: str, name: str, number: int | None) -> Iterable[Value]:
        yield self._objects.undo(namespace, name, number)

    def revisions(self, namespace: str, name: str) -> Iterable[Value]:
        return self._controller.revisions(namespace, name)

    def rollouts(self, namespace: str, name: str) -> Iterable[Value]:
        self._objects.deployment(namespace, name)
        return self._controller.records.of(namespace, name)

    def note_rollout(self, namespace: str, name: str, number: int, own: dict[str, Any]) -> Iterable[Value]:
        self._controller.records.note(namespace, name, number, own)
        return ()

    def watch_rollout(self, namespace: str, name: str, timeout: float | None) -> Iterable[Value]:
        """The newest record at each change, and at least every second; ends after `timeout` seconds, when it has ended,
        or with the Deployment."""
        deadline = None if timeout is None else time.monotonic() + timeout
        seen = 0
        record = self._controller.records.newest(namespace, name)
        while not self._controller.stopping:
            yield record
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
            if left <= 0 or record.ended:
                return
            seen = self._controller.roster.wait(seen, left)
            try:
                record = self._controller.records.newest(namespace, name)
            except NotFound:
                return

    def delete(self, namespace: str, kind: str, name: str) -> Iterable[Value]:
        self._objects.delete(namespace, kind, name)
        return ()

    def secrets(self, namespace: str | None) -> Iterable[Value]:
        return self._objects.secrets(namespace)

    def pods(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.pod_statuses(namespace)

    def pod(self, namespace: str, name: str) -> Iterable[Value]:
        yield self._controller.pod_status(namespace, name)

    def watch_pod(self, namespace: str, name: str, timeout: float | None) -> Iterable[Value]:
        """A status at each change, and at least every second; ends after `timeout` seconds or with the pod."""
        deadline = None if timeout is None else time.monotonic() + timeout
        seen = 0
        with contextlib.suppress(NotFound):
            while not self._controller.stopping:
                yield self._controller.pod_status(namespace, name)
                left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
                if left <= 0:
                    return
                seen = self._controller.roster.wait(seen, left)

    def pod_logs(
        self, namespace: str, name: str, container: str | None, follow: bool, tail: int | None
    ) -> Iterable[Value]:
        held = self._objects.pod(namespace, name)
        names = [spec.name for spec in held.pod.template.all_containers]
        if container is not None and container not in names:
            raise NotFound(
                "no-such-container",
                f"Pod {namespace}/{name}",
                f'no container is named "{container}"',
                hint=f"it has {', '.join(names)}",
            )

        def records() -> Sequence[ContainerRecord] | None:
            replica = self._controller.roster.get(pod_replica(namespace, name))
            chosen = [container] if container else names
            return None if replica is None else [replica.record(item) for item in chosen]

        def over() -> bool:
            try:
                phase = self._controller.pod_status(namespace, name).phase
            except NotFound:
                return True
            return self._controller.stopping or phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)

        reader = LogReader(self._controller.engine, records, over=over)
        return reader.follow(tail) if follow else reader.past(tail)

    def jobs(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.jobs.statuses(namespace)

    def cron_jobs(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.crons.statuses(namespace)

    def job(self, namespace: str, name: str) -> Iterable[Value]:
        yield self._controller.jobs.status(namespace, name)

    def watch_job(self, namespace: str, name: str, timeout: float | None) -> Iterable[Value]:
        """A status at each change, and at least every second; ends after `timeout` seconds or with the Job."""
        deadline = None if timeout is None else time.monotonic() + timeout
        seen = 0
        status = self._controller.jobs.status(namespace, name)
        while not self._controller.stopping:
            yield status
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
            if left <= 0 or status.phase is not JobPhase.ACTIVE:
                return
            seen = self._controller.roster.wait(seen, left)
            try:
                status = self._controller.jobs.status(namespace, name)
            except NotFound:
                return

    def logs(
        self, namespace: str, name: str, follow: bool, tail: int | None, also: Sequence[str] = ()
    ) -> Iterable[Value]:
        names = (name, *also)
        for known in names:
            self._objects.deployment(namespace, known)
        reader = LogReader(self._controller.engine, lambda: self._replicas(namespace, names))
        return reader.follow(tail) if follow else reader.past(tail)

    def job_logs(self, namespace: str, name: str, follow: bool, tail: int | None) -> Iterable[Value]:
        jobs = self._controller.jobs
        jobs.status(namespace, name)

        def attempts() -> Sequence[Attempt] | None:
            try:
                return jobs.attempts(namespace, name)
            except NotFound:
                return None

        def over() -> bool:
            try:
                return self._controller.stopping or jobs.status(namespace, name).phase is not JobPhase.ACTIVE
            except NotFound:
                return True

        reader = LogReader(self._controller.engine, attempts, over=over)
        return reader.follow(tail) if follow else reader.past(tail)

    def events(self, namespace: str | None, kind: str | None, name: str | None, follow: bool) -> Iterable[Value]:
        """The past, and with `follow` what comes, until the controller ends."""
        recorder, seen = self._controller.events, 0
        while True:
            newest = recorder.newest
            found = recorder.past(namespace, kind, name, after=seen)
            yield from found
            # Of those that are another object's, too: they are not waited for again.
            seen = max([newest, *(event.number for event in found)])
            if not follow or self._controller.stopping:
                return
            if not recorder.wait(seen, WATCH_SECONDS):
                yield None

    def counters(self, namespace: str, service: str) -> Iterable[Value]:
        yield self._controller.counters(namespace, service)

    def services(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.services(namespace)

    def manifests(self, namespace: str, name: str) -> Iterable[Value]:
        yield self._objects.manifests(namespace, name)

    def _replicas(self, namespace: str, names: Sequence[str]) -> list[Replica] | None:
        """Those of the Deployments that are still there; None where there is none."""
        there = {held.deployment.name for held in self._objects.deployments() if held.deployment.namespace == namespace}
        wanted = there.intersection(names)
        if not wanted:
            return None
        return [
            item for item in self._controller.roster.all() if item.namespace == namespace and item.deployment in wanted
        ]


METHODS = (
    "info",
    "apply",
    "check",
    "preview",
    "views",
    "deployments",
    "deployment",
    "watch",
    "scale",
    "restart",
    "pause",
    "undo",
    "revisions",
    "rollouts",
    "note_rollout",
    "watch_rollout",
    "delete",
    "secrets",
    "pods",
    "pod",
    "watch_pod",
    "pod_logs",
    "jobs",
    "cron_jobs",
    "job",
    "watch_job",
    "logs",
    "job_logs",
    "events",
    "counters",
    "services",
    "manifests",
)


def _converse(connection: socket.socket, answers: Answers) -> None:
    """One request, one answer. A caller that went away ends it."""
    connection.settimeout(PATIENCE)
    with contextlib.suppress(ConnectionError, TimeoutError):
        try:
            for value in _answer(_read_request(connection), answers):
                connection.sendall(encode({"beat": True} if value is None else {"item": pack(value)}))
            connection.sendall(encode({"done": True}))
        except RuntimeFailure as failure:
            connection.sendall(encode({"error": pack_failure(failure)}))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            log.exception("request failed")
            internal = RuntimeFailure(
                "internal-error", "controller", f"{type(error).__name__}: {error}", hint="look at the controller's log"
            )
            connection.sendall(encode({"error": pack_failure(internal)}))


def _read_request(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb") as stream:
        line = stream.readline(MAX_REQUEST)
    if not line:
        raise ConnectionError
    try:
        request = json.loads(line)
    except ValueError as error:
        raise RuntimeFailure("bad-request", "controller", "the request is not a line of JSON") from error
    if not isinstance(request, dict) or request.get("protocol") != PROTOCOL:
        raise RuntimeFailure(
            "protocol-mismatch",
            "controller",
            f"the controller speaks protocol {PROTOCOL}",
            hint="restart it with the version of the caller: imageforge up",
        )
    return request


def _answer(request: dict[str, Any], answers: Answers) -> Iterator[Value]:
    method, params = request.get("method"), request.get("params", {})
    if method not in METHODS:
        raise RuntimeFailure("unknown-method", "controller", f"no method {method}")
    function: Callable[..., Iterable[Value]] = getattr(answers, method)
    yield from function(**params)

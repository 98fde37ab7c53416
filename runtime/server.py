"""The controller's socket: who may connect is decided by the file's mode, 0600."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from runtime.attachment import Attachments
from runtime.controller import Controller
from runtime.errors import NotFound, RuntimeFailure
from runtime.logs import LogReader
from runtime.model import ControllerInfo, JobPhase, LogLine, Selection
from runtime.process import Process
from runtime.selection import spoken_of
from runtime.targets import Targets
from runtime.version import version
from runtime.wire import OTHER_VERSION, PROTOCOL, Value, encode, pack, pack_failure

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

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
        self._attachments = attachments = Attachments()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                _converse(self.connection, answers, attachments)

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
        self._attachments.close()
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

    def apply(self, manifests: str, source: str, place: str | None = None) -> Iterable[Value]:
        return self._objects.apply(manifests, source, place)

    def check(self, manifests: str, source: str, place: str | None = None) -> Iterable[Value]:
        return self._objects.check(manifests, source, place)

    def preview(self, manifests: str, source: str, place: str | None = None) -> Iterable[Value]:
        return self._objects.preview(manifests, source, place)

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

    def autoscalers(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.autoscalers.statuses(namespace)

    def autoscalers_of(self, namespace: str, name: str) -> Iterable[Value]:
        return self._controller.autoscalers.owners(namespace, name)

    def top_replicas(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.top.replicas(namespace)

    def top_services(self, namespace: str | None) -> Iterable[Value]:
        return self._controller.top.services(namespace)

    def top_node(self) -> Iterable[Value]:
        yield self._controller.top.node()

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

    def delete(self, namespace: str, kind: str, name: str, volumes: bool = False) -> Iterable[Value]:
        self._objects.delete(namespace, kind, name, volumes=volumes)
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
        wanted = Selection(
            namespace=namespace, kind="Pod", names=(name,), container=container or "", every=not container
        )
        for line in self._output(wanted, follow, tail):
            # This method has told the containers' names for as long as it is there.
            yield None if line is None else replace(line, replica=line.container)

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
        return self._output(Selection(namespace=namespace, kind="Deployment", names=(name, *also)), follow, tail)

    def job_logs(self, namespace: str, name: str, follow: bool, tail: int | None) -> Iterable[Value]:
        return self._output(Selection(namespace=namespace, kind="Job", names=(name,)), follow, tail)

    def output(
        self,
        selection: Mapping[str, Any],
        follow: bool,
        tail: int | None,
        previous: bool = False,
        since: float = 0.0,
    ) -> Iterable[Value]:
        """What the containers of a selection wrote; `previous` those before their last restart."""
        return self._output(_selection(selection), follow, tail, previous=previous, since=since)

    def _output(
        self, wanted: Selection, follow: bool, tail: int | None, *, previous: bool = False, since: float = 0.0
    ) -> Iterable[LogLine | None]:
        targets = Targets(self._controller, wanted)
        reader = LogReader(self._controller.engine, targets.sources, over=targets.over, since=since)
        if previous:
            return reader.previous(tail, spoken_of(wanted))
        return reader.follow(tail) if follow else reader.past(tail)

    def execute(
        self,
        selection: Mapping[str, Any],
        command: Sequence[str],
        replica: str = "",
        stdin: bool = False,
        tty: bool = False,
        size: Sequence[int] = (),
    ) -> tuple[Process, str]:
        """A command that was begun in a container of a selection, and which container that is."""
        wanted = _selection(selection)
        source = Targets(self._controller, wanted).running(replica)
        process = self._controller.engine.attach(source.container_id, command, stdin=stdin, tty=tty)
        where = f"{source.name}/{source.container}"
        try:
            process.begin(where)
            if size:
                process.resize(*size)
        except BaseException:
            process.close()
            raise
        return process, where

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
    "autoscalers",
    "autoscalers_of",
    "top_replicas",
    "top_services",
    "top_node",
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
    "output",
    "events",
    "counters",
    "services",
    "manifests",
)


def _converse(connection: socket.socket, answers: Answers, attachments: Attachments) -> None:
    """One request, one answer. A caller that went away ends it."""
    connection.settimeout(PATIENCE)
    with contextlib.suppress(ConnectionError, TimeoutError):
        try:
            request = _read_request(connection)
            if request.get("method") == "execute":
                with attachments.place():
                    process, where = _called(answers.execute, request.get("params", {}))
                    attachments.carry(connection, process, encode({"item": where}))
                return
            for value in _answer(request, answers):
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
            hint=OTHER_VERSION,
        )
    return request


def _answer(request: dict[str, Any], answers: Answers) -> Iterator[Value]:
    method, params = request.get("method"), request.get("params", {})
    if method not in METHODS:
        raise RuntimeFailure("unknown-method", "controller", f"no method {method}", hint=OTHER_VERSION)
    function: Callable[..., Iterable[Value]] = getattr(answers, method)
    yield from _called(function, params)


def _called(function: Callable[..., Answer], params: Any) -> Answer:
    """What a method gives. Raises RuntimeFailure (`unknown-parameter`) for what a caller of another version says to
    it: to leave that out would be to do something else than was asked for."""
    try:
        inspect.signature(function).bind(**params)
    except TypeError as error:
        raise RuntimeFailure(
            "unknown-parameter", "controller", f"{function.__name__}: {error}", hint=OTHER_VERSION
        ) from error
    return function(**params)


def _selection(raw: Mapping[str, Any]) -> Selection:
    return Selection(**{**raw, "names": tuple(raw.get("names", ()))})

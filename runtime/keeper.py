"""One thread for one replica: start, wait ready, start again when it ends, drain, stop, remove."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from runtime.balancer.balancer import Balancer
from runtime.clock import steady
from runtime.container import Identity, network_name, refuse_root
from runtime.creation import Creation, Given
from runtime.discovery.network import NetworkFacts
from runtime.engine import Engine
from runtime.errors import ConfigError, EngineError, ImageError, KeyFailure, RuntimeFailure
from runtime.events import Recorder
from runtime.labels import Label
from runtime.manifest.model import Probe
from runtime.probes import ProbeResult, Readiness, early_period, run_probe
from runtime.redact import redact
from runtime.restart import FIRST_DELAY, LONGEST_DELAY
from runtime.roster import Replica, Roster
from runtime.sockets import listening

log = logging.getLogger(__name__)

LONGEST_RECONNECT = 10.0
IDLE_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What every keeper shares."""

    instance: str
    engine: Engine
    balancer: Balancer
    roster: Roster
    revision_of: Callable[[Replica], int]
    starts: threading.Semaphore
    creation: Creation
    events: Recorder
    met: Callable[[str, NetworkFacts | None], None]


class Keeper(threading.Thread):
    """Sees one replica through its life. Others only tell it: `terminate`, `died`, `leave`."""

    def __init__(self, name: str, around: Surroundings) -> None:
        super().__init__(name=f"keeper {name}", daemon=True)
        self._replica_name = name
        self._around = around
        self._engine, self._roster = around.engine, around.roster
        self._mail = threading.Condition()
        self._dead_container = ""
        self._given: Given = frozenset()
        self._terminating = False
        self._leaving = threading.Event()

    def terminate(self) -> None:
        """Drain and stop the replica, then be done."""
        # A keeper that takes over one that ends already finds it not ready any more.
        self._roster.update(self._replica_name, lambda now: now.ready, was_ready=True)
        self._roster.update(self._replica_name, terminating=True, ready=False, phase="Terminating", message="")
        with self._mail:
            self._terminating = True
            self._mail.notify_all()

    def died(self, container_id: str) -> None:
        """The container was seen to have ended: no request goes to it from now on."""
        if self._roster.update(
            self._replica_name,
            lambda replica: replica.container_id == container_id,
            running=False,
            ready=False,
            admitted=False,
        ):
            self._around.balancer.withdraw(self._replica_name)
        with self._mail:
            self._dead_container = container_id
            self._mail.notify_all()

    def leave(self) -> None:
        """Stop keeping, and leave the container as it is."""
        self._leaving.set()
        with self._mail:
            self._mail.notify_all()

    def run(self) -> None:
        """The replica's life, begun again where something unforeseen breaks it."""
        while True:
            try:
                self._live()
                return
            except Exception as error:
                log.exception("keeper failed", extra={"replica": self._replica_name})
                with contextlib.suppress(RuntimeFailure):
                    self._roster.update(self._replica_name, message=f"the controller failed: {error}; it tries again")
                if self._leaving.wait(LONGEST_RECONNECT):
                    return

    def _live(self) -> None:
        if self._has_died() and not self._over():
            self._record_end()
        while not self._over():
            if self._start():
                self._probe_until_end()
                if not self._over():
                    self._record_end()
        if not self._leaving.is_set():
            self._end()

    @property
    def _replica(self) -> Replica:
        replica = self._roster.get(self._replica_name)
        assert replica is not None, "only its keeper removes a replica"
        return replica

    def _over(self) -> bool:
        return self._terminating or self._leaving.is_set()

    def _wait(self, seconds: float) -> None:
        """Until there is news, at most so long."""
        with self._mail:
            self._mail.wait_for(lambda: self._over() or self._has_died(), max(0.0, seconds))

    def _has_died(self) -> bool:
        return self._dead_container != "" and self._dead_container == self._replica.container_id

    def _pause(self, seconds: float) -> None:
        """So long, unless the replica is not wanted any more."""
        with self._mail:
            self._mail.wait_for(self._over, max(0.0, seconds))

    def _start(self) -> bool:
        """Whether a container runs now; retried with growing pauses for what may pass by itself."""
        if self._replica.running and not self._has_died():
            return True
        if self._replica.ended_at is not None:
            # When it ended is by the engine's clock, which may have been set since.
            delay = self._replica.backoff.delay
            self._pause(min(delay, self._replica.ended_at + delay - time.time()))
        attempt = 0
        while not self._over():
            try:
                self._start_once()
                return True
            except ImageError as error:
                pause = min(FIRST_DELAY * 2**attempt, LONGEST_DELAY)
                phase = "ImagePullBackOff" if error.code == "image-pull-failed" else "CreateContainerConfigError"
                self._waiting(phase=phase, message=error.message)
            except (ConfigError, KeyFailure) as error:
                pause = min(2.0**attempt, LONGEST_RECONNECT)
                self._waiting(phase="CreateContainerConfigError", message=_reason_not_created(error))
            except EngineError as error:
                if not error.retryable:
                    self._record_refusal(error)
                    return False
                pause = min(0.5 * 2**attempt, LONGEST_RECONNECT)
                self._waiting(phase="Pending", message=error.message)
            attempt += 1
            self._pause(pause)
        return False

    def _start_once(self) -> None:
        replica = self._replica
        who = Identity(
            instance=self._around.instance,
            namespace=replica.namespace,
            deployment=replica.deployment,
            replica=replica.name,
            template_hash=replica.template_hash,
            revision=self._around.revision_of(replica),
        )
        spec = replica.template.container
        logins = partial(self._around.creation.logins, replica.template, replica.namespace)
        image = self._engine.ensure_image(spec.image, always_pull=spec.always_pull, logins=logins)
        refuse_root(replica.template, image)
        with self._around.starts:
            if self._over():
                return
            container_id = self._launch(replica, who)
        state = self._engine.inspect(container_id)
        if state is None or not state.running:
            self.died(container_id)
            return
        self._publish(phase="Running", message="", address=state.address, pid=state.pid, started_at=state.started_at)

    def _launch(self, replica: Replica, who: Identity) -> str:
        network = network_name(who.instance, who.namespace)
        facts = self._engine.ensure_network(network, {Label.INSTANCE: who.instance, Label.NAMESPACE: who.namespace})
        self._around.met(who.namespace, facts)
        if replica.container_id:
            self._engine.remove(replica.container_id)
        container_id, self._given = self._around.creation.create(replica.template, who)
        # Known before it starts, so that its end is recognised however soon it comes.
        self._roster.update(replica.name, container_id=container_id, running=True, address="", pid=0)
        self._engine.start(container_id)
        return container_id

    def _probe_until_end(self) -> None:
        """Keep the verdict on readiness up to date until the container ends or is not wanted any more."""
        replica = self._replica
        probe = replica.template.container.readiness
        verdict = Readiness(ready=replica.ready)
        ever_ready = verdict.ready
        if probe is not None and not ever_ready:
            since = time.time() - (replica.started_at or time.time())
            self._wait(probe.initial_delay - max(0.0, since))
        while not (self._over() or self._has_died()):
            result = self._ask(probe)
            verdict = Readiness(ready=True) if probe is None else verdict.after(result.ok, probe)
            self._judge(verdict.ready, result.message)
            ever_ready = ever_ready or verdict.ready
            if probe is None:
                self._wait(IDLE_SECONDS)
            else:
                ran_for = max(0.0, time.time() - (replica.started_at or time.time()))
                self._wait(probe.period if ever_ready else min(probe.period, early_period(ran_for)))

    def _ask(self, probe: Probe | None) -> ProbeResult:
        replica = self._replica
        port = None if probe is None else replica.template.container.port_number(probe.port)
        if probe is None or port is None:
            return ProbeResult(ok=True)
        if not replica.address:
            return ProbeResult(ok=False, message="the engine gave the container no address")
        result = run_probe(probe, replica.address, port)
        if not result.refused:
            return result
        sockets = listening(replica.pid)
        where = (
            f"it listens on {', '.join(sockets)}, expected 0.0.0.0:{port}" if sockets else "it listens on no TCP port"
        )
        return ProbeResult(ok=False, refused=True, message=f"{result.message}; {where}")

    def _judge(self, ready: bool, message: str) -> None:
        if ready:
            since = self._replica.ready_since if self._replica.ready else steady()
            self._publish(ready=True, ready_since=since, phase="Ready", message=message)
        else:
            self._publish(ready=False, ready_since=None, admitted=False, phase="Running", message=message)

    def _publish(self, **changes: object) -> None:
        """Tell the roster, unless the container was seen to have ended, or the replica to be unwanted, meanwhile."""
        container_id = self._replica.container_id
        self._roster.update(
            self._replica_name,
            lambda now: not now.terminating and now.container_id == container_id and not self._has_died(),
            **changes,
        )

    def _waiting(self, phase: str, message: str) -> None:
        """Tell why no container runs; the one before may have ended."""
        self._roster.update(self._replica_name, lambda now: not now.terminating, phase=phase, message=message)

    def _record_end(self) -> None:
        """Why the container ended, and when it may start again."""
        replica = self._replica
        try:
            state = self._engine.inspect(replica.container_id)
            last_log = self._around.creation.last_log(
                replica.container_id, replica.template, replica.namespace, self._given
            )
        except EngineError as error:
            log.warning("end not explained", extra={"replica": replica.name, "error": str(error)})
            state, last_log = None, ()
        if state is not None and state.running:
            # The engine was lost for a while and the container was not.
            self._roster.update(replica.name, running=True, address=state.address, pid=state.pid)
            with self._mail:
                self._dead_container = ""
            return
        ended_at = (state.finished_at if state else None) or time.time()
        ran_for = ended_at - (replica.started_at or ended_at)
        backoff = replica.backoff.after_end(ran_for)
        reason = _reason(state.exit_code if state else None, oom=state.oom_killed if state else False)
        waits = backoff.delay > 0
        self._roster.update(
            replica.name,
            running=False,
            ready=False,
            ready_since=None,
            admitted=False,
            address="",
            pid=0,
            ended_at=ended_at,
            backoff=backoff,
            exit_code=state.exit_code if state else None,
            last_log=last_log,
            phase="CrashLoopBackOff" if waits and reason != "OOMKilled" else reason,
            message=_end_message(state.exit_code if state else None, backoff.delay, oom=reason == "OOMKilled"),
        )

    def _record_refusal(self, error: RuntimeFailure) -> None:
        """The engine would not create or start the container: counted like a container that ended at once."""
        backoff = self._replica.backoff.after_end(0.0)
        self._roster.update(
            self._replica_name,
            running=False,
            ready=False,
            ready_since=None,
            admitted=False,
            address="",
            pid=0,
            ended_at=time.time(),
            backoff=backoff,
            phase="CrashLoopBackOff" if backoff.delay else "Error",
            message=redact([error.message], self._given)[0],
        )

    def _end(self) -> None:
        """Out of the balancer, drained, stopped, removed; again and again until the engine has done it."""
        replica = self._replica
        grace = replica.template.grace_period
        balancer = self._around.balancer
        until = time.monotonic() + grace
        if not balancer.let_go(replica.name, unless_last=True):
            # Requests come to it still, until another is ready, none comes for a moment, or half of its time is over.
            balancer.wait_idle(replica.name, until - grace / 2, self._leaving)
            balancer.let_go(replica.name)
        if replica.container_id and not self._has_died():
            balancer.wait_idle(replica.name, until, self._leaving)
        attempt = 0
        while not self._leaving.is_set():
            try:
                if replica.container_id:
                    self._engine.stop(replica.container_id, grace)
                    self._engine.remove(replica.container_id)
                self._around.creation.storage.forget(replica.template, replica.name)
                self._roster.remove(replica.name)
                return
            except EngineError as error:
                log.warning("replica not stopped", extra={"replica": replica.name, "error": str(error)})
                self._leaving.wait(min(0.5 * 2**attempt, LONGEST_RECONNECT))
                attempt += 1


def _reason_not_created(error: RuntimeFailure) -> str:
    """In the kubelet's words where they name the object; else with the file or folder that it is about."""
    return error.message if error.subject.startswith("Secret ") else str(error)


def _reason(exit_code: int | None, *, oom: bool) -> str:
    if oom:
        return "OOMKilled"
    return "Completed" if exit_code == 0 else "Error"


def _end_message(exit_code: int | None, delay: float, *, oom: bool) -> str:
    what = "killed for want of memory" if oom else f"ended with exit code {exit_code}"
    if exit_code is None:
        what = "ended"
    return f"{what}; starts again " + (f"{delay:.0f} s after its end" if delay else "at once")

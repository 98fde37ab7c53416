"""One container of a replica through its life: start, probe, start again when it ends, stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from runtime.balancer.balancer import Balancer
from runtime.clock import steady
from runtime.container import (
    ContainerState,
    Identity,
    ImageFacts,
    container_name,
    network_name,
    previous_name,
    refuse_root,
)
from runtime.creation import Creation, Given
from runtime.discovery.network import NetworkFacts
from runtime.engine import Engine
from runtime.errors import ConfigError, EngineError, ImageError, KeyFailure, RuntimeFailure
from runtime.events import Recorder
from runtime.hooks import run_hook, signal_grace
from runtime.labels import Label
from runtime.manifest.model import ContainerSpec
from runtime.manifest.probe import Hook, HttpCall, Probe
from runtime.manifest.restart_rule import Restarts
from runtime.prober import Prober
from runtime.probes import ProbeResult, Target, run_probe
from runtime.redact import redact
from runtime.restart import FIRST_DELAY, LONGEST_DELAY, RestartPolicy
from runtime.room import Room
from runtime.roster import Replica, Roster
from runtime.sockets import listening
from runtime.standing import ContainerRecord
from runtime.successor import Made, Successor
from runtime.verdict import Kind, Verdict, warns

log = logging.getLogger(__name__)

LONGEST_RECONNECT = 10.0
CLAMPED = "oom_score_adj is 0 and not lower, as its QoS class asks for: the engine may not lower it (CAP_SYS_RESOURCE)"
IDLE_SECONDS = 3600.0
LOOK_SECONDS = 1.0
"""Until one that may not start again asks once more."""
KILLED = 137
ALWAYS, NEVER = Restarts(policy=RestartPolicy.ALWAYS), Restarts(policy=RestartPolicy.NEVER)
NOT_STARTED = 128
"""The exit code of a container that the engine could not start, as Kubernetes has it."""


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
    room: Room
    met: Callable[[str, NetworkFacts | None], None]
    drained: Callable[[Replica, int, int], None]
    """Told of a replica that was taken out of the balancer, with what it had in flight then, and at the end of that."""
    may_start_again: Callable[[Replica], bool] = lambda _replica: True
    """Whether a container of it that has failed is started once more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Condemned:
    """A container that is to be ended, why, and in how many seconds at most."""

    container_id: str
    reason: str
    grace: int


def identity(replica: Replica, around: Surroundings) -> Identity:
    """Whose containers a replica's are."""
    return Identity(
        instance=around.instance,
        namespace=replica.namespace,
        deployment=replica.deployment,
        replica=replica.name,
        template_hash=replica.template_hash,
        revision=around.revision_of(replica),
        pod=replica.pod,
        job=replica.job,
    )


def _nobody() -> None:
    """Hears nothing."""


class Life:
    """The life of the container `spec` of a replica. `live` is for one thread; others only tell it: `died`, `wake`.
    `unwanted` says that the replica is to be stopped, or left alone; `heard` is told when the container has started."""

    def __init__(
        self,
        replica: str,
        spec: ContainerSpec,
        around: Surroundings,
        unwanted: Callable[[], bool],
        *,
        again: Restarts = ALWAYS,
        heard: Callable[[], None] = _nobody,
    ) -> None:
        self._replica_name = replica
        self._spec = spec
        self._around = around
        self._engine, self._roster = around.engine, around.roster
        self._over = unwanted
        self._again = again
        self._heard = heard
        known = self._replica
        self._namespace, self._template = known.namespace, known.template
        self._pod = known.shown_name
        self._mail = threading.Condition()
        self._dead_container = ""
        self._condemned: _Condemned | None = None
        self._prober: Prober | None = None
        self._warned: set[Kind] = set()
        self._asked_since = 0.0
        self._given: Given = frozenset()
        self._successor: Successor | None = None

    def died(self, container_id: str) -> None:
        """The container was seen to have ended: no request goes to it from now on."""
        if self._tell(
            lambda _, record: record.container_id == container_id, running=False, ready=False, started=False, pid=0
        ):
            self._around.balancer.withdraw(self._replica_name)
        with self._mail:
            self._dead_container = container_id
            self._mail.notify_all()

    def wake(self) -> None:
        """Look again whether the replica is wanted."""
        with self._mail:
            self._mail.notify_all()

    def last_words(self) -> tuple[str, ...]:
        """What it wrote last, with stars for its Secrets, also as they were when it was given them. Raises
        EngineError."""
        return self._around.creation.last_log(
            self._record.container_id,
            self._template,
            self._namespace,
            self._given,
            replica=self._replica_name,
            name=self._spec.name,
        )

    def leave(self) -> None:
        """Ask nothing more of the container, and leave it as it is."""
        self._stop_asking()
        self.wake()

    def live(self) -> None:
        """Until the replica is not wanted any more, or the container has ended and is not to start again."""
        try:
            if self._has_died() and not self._over():
                self._tell_of_end()
            while not (self._over() or self._record.done):
                if self._start():
                    self._attend()
                    if not self._over():
                        self._tell_of_end()
        finally:
            self._drop_successor()

    def settle(self) -> None:
        """Tell of the end of its container, should it have ended without a word. Raises EngineError."""
        record = self._record
        if not record.unsettled:
            return
        if not self._has_died():
            state = self._engine.inspect(record.container_id)
            if state is not None and (state.running or state.started_at is None):
                return
            self.died(record.container_id)
        self._record_end()

    def is_over(self) -> bool:
        """Whether it has ended, and is not started again."""
        return self._record.done

    def begin_end(self) -> None:
        """It is about to be ended: only its readiness is asked for from now on."""
        # Once: the keeper's own thread may take it away meanwhile.
        prober = self._prober
        if prober is not None:
            prober.ending()

    def prepare_end(self, grace: float) -> float:
        """Do what it is to do before its end; the seconds that this took."""
        hook = self._spec.pre_stop
        if hook is None or grace <= 0 or not self._record.running or self._has_died():
            return 0.0
        began = time.monotonic()
        problem = self._hidden(self._run(hook, threading.Event(), grace))
        if problem:
            self._say("FailedPreStopHook", f"PreStopHook failed: {problem}", warning=True)
        return time.monotonic() - began

    def begin_anew(self, *, again: bool = False) -> None:
        """It was ended with all others, for no fault of its own: the next start is one more, and waits for nothing. Of
        one that was done already it is where that is to be done `again`."""
        record = self._record
        counted = record.backoff
        if record.unsettled or (again and record.done):
            counted = replace(counted, restarts=counted.restarts + 1)
        self._condemned = None
        self._tell(
            container_id="",
            lost=False,
            running=False,
            started=False,
            ready=False,
            done=False,
            pid=0,
            ended_at=None,
            backoff=counted,
            phase="Pending",
            message="",
        )

    def finish(self, grace: float) -> None:
        """End it, and leave it as it then stands: it is not wanted any more, or what it was beside is done. Raises
        EngineError."""
        if not self._record.unsettled:
            self._tell(done=True)
            return
        spent = self.prepare_end(grace)
        self._engine.stop(self._record.container_id, signal_grace(grace, spent))
        self._stop_asking()
        self._again = NEVER
        self._record_end()

    def end(self, grace: float) -> None:
        """Send its stop signal, and SIGKILL after `grace` seconds; remove it. Raises EngineError."""
        container_id = self._record.container_id
        if container_id:
            self._engine.stop(container_id, grace)
            self._stop_asking()
            self._engine.remove(container_id)
        if self._record.backoff.restarts:
            who = identity(self._replica, self._around)
            self._engine.remove(previous_name(container_name(who, self._template, self._spec)))

    @property
    def _replica(self) -> Replica:
        replica = self._roster.get(self._replica_name)
        assert replica is not None, "only its keeper removes a replica"
        return replica

    @property
    def _record(self) -> ContainerRecord:
        return self._replica.record(self._spec.name)

    def _tell(self, when: Callable[[Replica, ContainerRecord], bool] | None = None, **changes: object) -> bool:
        return self._roster.tell(self._replica_name, self._spec.name, when, **changes)

    def _publish(self, container_id: str, **changes: object) -> bool:
        """Tell the roster, unless the container was seen to have ended, or to be another, meanwhile."""
        return self._tell(
            lambda _, record: record.container_id == container_id and self._dead_container != container_id, **changes
        )

    def _wait(self, seconds: float) -> None:
        """Until there is news, at most so long."""
        with self._mail:
            self._mail.wait_for(
                lambda: self._over() or self._has_died() or self._condemned is not None, max(0.0, seconds)
            )

    def _has_died(self) -> bool:
        return self._dead_container != "" and self._dead_container == self._record.container_id

    def _pause(self, seconds: float) -> None:
        """So long, unless the replica is not wanted any more."""
        with self._mail:
            self._mail.wait_for(self._over, max(0.0, seconds))

    def _start(self) -> bool:
        """Whether a container runs now; retried with growing pauses for what may pass by itself."""
        record = self._record
        if record.running and not self._has_died():
            self._drop_successor()
            return True
        if record.ended_at is not None:
            # When it ended is by the engine's clock, which may have been set since.
            delay = record.backoff.delay
            if delay:
                self._drop_successor()
            self._pause(min(delay, record.ended_at + delay - time.time()))
            while not (self._over() or self._around.may_start_again(self._replica)):
                self._pause(LOOK_SECONDS)
        attempt = 0
        while not self._over():
            try:
                return self._start_once()
            except ImageError as error:
                pause = min(FIRST_DELAY * 2**attempt, LONGEST_DELAY)
                pull = error.code == "image-pull-failed"
                phase = "ImagePullBackOff" if pull else "CreateContainerConfigError"
                # A mistyped name is seen only where the message has it.
                message = f"{error.subject} {error.message}" if pull else error.message
                self._tell(phase=phase, message=message)
                self._say("Failed", f"Error: {message}", warning=True)
            except (ConfigError, KeyFailure) as error:
                pause = min(2.0**attempt, LONGEST_RECONNECT)
                self._tell(phase="CreateContainerConfigError", message=_reason_not_created(error))
                self._say("Failed", f"Error: {_reason_not_created(error)}", warning=True)
            except EngineError as error:
                if not error.retryable:
                    self._record_refusal(error)
                    return False
                pause = min(0.5 * 2**attempt, LONGEST_RECONNECT)
                self._tell(phase="Pending", message=error.message)
            attempt += 1
            self._pause(pause)
        return False

    def _start_once(self) -> bool:
        replica = self._replica
        container_id = self._begun() or self._make(replica)
        if not container_id:
            return False
        state = self._engine.inspect(container_id)
        if state is None or not state.running:
            self.died(container_id)
            return True
        if not self._template.is_group:
            self._roster.update(
                replica.name,
                lambda now: now.record(self._spec.name).container_id == container_id,
                address=state.address,
            )
        self._publish(
            container_id, phase="Running", message="", pid=state.pid, started_at=state.started_at or time.time()
        )
        return self._greet(container_id)

    def _begun(self) -> str:
        """The container that was made already, where it may have begun: the engine was lost as it was started. It runs,
        or has ended, and is not made anew."""
        record = self._record
        if not record.unsettled:
            return ""
        state = self._engine.inspect(record.container_id)
        return "" if state is not None and state.started_at is None else record.container_id

    def _make(self, replica: Replica) -> str:
        """A new container that was started; empty where the replica is not wanted any more."""
        who = identity(replica, self._around)
        successor, self._successor = self._successor, None
        made = successor.take() if successor is not None else None
        if successor is not None and made is not None:
            with self._around.starts:
                if self._succeed(made, who):
                    return self._begin(replica, made)
            successor.remove(made)
        logins = partial(self._around.creation.logins, self._template, self._spec.image, self._namespace)
        image = self._engine.ensure_image(
            self._spec.image, always_pull=self._spec.always_pull, never_pull=self._spec.never_pull, logins=logins
        )
        refuse_root(self._spec, image)
        self._around.creation.pull_volumes(self._template, self._namespace)
        with self._around.starts:
            return "" if self._over() else self._launch(replica, who, image)

    def _make_beside(self) -> Made | None:
        """The container that follows one which has ended, without waiting for anything."""
        replica = self._roster.get(self._replica_name)
        if replica is None or not self._around.starts.acquire(blocking=False):
            return None
        try:
            who = identity(replica, self._around)
            image = self._engine.ensure_image(self._spec.image, never_pull=True)
            refuse_root(self._spec, image)
            self._ensure_network(who)
            container_id, given = self._around.creation.create(
                replica.template, who, image, spec=self._spec, beside=True
            )
        finally:
            self._around.starts.release()
        return Made(container_id=container_id, image=image, given=given) if container_id else None

    def _follows_at_once(self) -> bool:
        """Whether the one that has ended is followed by another without a pause, however it ended."""
        if not self._again.always or self._template.is_group or self._spec.always_pull:
            # Of several, what they share may be gone too.
            return False
        if self._spec.message_path or any(mount.sub_path for mount in self._spec.mounts):
            # What the one before has of files is not to be made anew while something may still read it.
            return False
        record, now = self._record, time.time()
        return not (record.running or record.backoff.after_end(now - (record.started_at or now)).delay)

    def _drop_successor(self) -> None:
        successor, self._successor = self._successor, None
        if successor is not None:
            successor.drop()

    def _succeed(self, made: Made, who: Identity) -> bool:
        """Whether a container that was made beside takes the place of the one that has ended."""
        ended = self._record.settled
        try:
            if ended and not self._over():
                self._engine.succeed(container_name(who, self._template, self._spec), ended, made.container_id)
                return True
        except EngineError as error:
            log.warning("not succeeded", extra={"replica": self._replica_name, "error": str(error)})
        return False

    def _ensure_network(self, who: Identity) -> None:
        network = network_name(who.instance, who.namespace)
        labels: dict[str, str] = {Label.INSTANCE: who.instance, Label.NAMESPACE: who.namespace}
        self._around.met(who.namespace, self._engine.ensure_network(network, labels))

    def _launch(self, replica: Replica, who: Identity, image: ImageFacts) -> str:
        if not replica.sandbox:
            self._ensure_network(who)
        container_id, given = self._around.creation.create(
            replica.template, who, image, spec=self._spec, sandbox=replica.sandbox
        )
        return self._begin(replica, Made(container_id=container_id, image=image, given=given))

    def _begin(self, replica: Replica, made: Made) -> str:
        container_id, self._given = made.container_id, made.given
        # Known before it starts, so that its end is recognised however soon it comes.
        self._forget_address()
        self._tell(
            container_id=container_id,
            image_id=made.image.image_id,
            running=True,
            started=False,
            ready=False,
            lost=False,
            pid=0,
        )
        self._engine.start(container_id)
        if self._around.creation.is_clamped(replica.template, self._spec):
            # It holds of every start on such a machine, and nothing failed.
            self._say("OOMScoreAdjClamped", CLAMPED)
        self._say("Started", f"Started container {self._spec.name}")
        return container_id

    def _greet(self, container_id: str) -> bool:
        """Run what is to be done at its start, before anything is asked of it; one that fails ends the container."""
        hook = self._spec.post_start
        if hook is None:
            return True
        stop, problems = threading.Event(), list[str]()

        def run() -> None:
            try:
                problems.append(self._run(hook, stop, None))
            except Exception as error:
                log.exception("postStart failed", extra={"replica": self._replica_name})
                problems.append(f"{type(error).__name__}: {error}")
            self.wake()

        threading.Thread(target=run, name="postStart", daemon=True).start()
        with self._mail:
            self._mail.wait_for(lambda: self._over() or self._has_died() or bool(problems))
        stop.set()
        if problems and problems[0] and not self._has_died():
            self._say("FailedPostStartHook", f"PostStartHook failed: {self._hidden(problems[0])}", warning=True)
            self._condemn(container_id, f"postStart: {self._hidden(problems[0])}", self._template.grace_period)
        return True

    def _run(self, hook: Hook, stop: threading.Event, longest: float | None) -> str:
        """What went wrong in a hook; empty for nothing."""
        container_id = self._record.container_id

        def where(call: HttpCall) -> tuple[str, int]:
            return self._replica.address, self._spec.port_number(call.port) or 0

        return run_hook(hook, partial(self._engine.execute, container_id), where, stop, longest)

    def _attend(self) -> None:
        """Ask its probes until it ends, or is not wanted any more, or has failed one that ends it."""
        record = self._record
        if not (self._over() or self._has_died() or self._condemned):
            self._ask_from_now_on(record)
        self._wait_for_end()
        if self._over():
            return
        self._stop_asking()
        condemned = self._condemned
        if condemned is not None and not self._has_died():
            self._kill(condemned)

    def _wait_for_end(self) -> None:
        while not (self._over() or self._has_died() or self._condemned):
            self._wait(IDLE_SECONDS)

    def _ask_from_now_on(self, record: ContainerRecord) -> None:
        container_id = record.container_id
        self._stop_asking()
        started_at = record.started_at or time.time()
        # By a clock that nobody sets.
        self._asked_since = steady() - max(0.0, time.time() - started_at)
        prober = Prober(
            self._spec,
            partial(self._ask, container_id),
            partial(self._told, container_id),
            started_at=started_at,
            started=record.started,
            ready=record.ready,
        )
        self._prober, self._warned = prober, set()
        if prober.started:
            self._has_started(container_id)
        prober.begin()
        if self._over():
            # Whoever said so may have looked for one a moment too early.
            prober.end()

    def _stop_asking(self) -> None:
        prober, self._prober = self._prober, None
        if prober is not None:
            prober.end()

    def _ask(self, container_id: str, kind: Kind, probe: Probe) -> ProbeResult:
        replica = self._roster.get(self._replica_name)
        if replica is None:
            return ProbeResult(ok=None)
        port = self._spec.port_number(probe.port) or 0
        execute = partial(self._engine.execute, container_id)
        result = run_probe(probe, Target(address=replica.address, port=port, execute=execute), kind)
        if probe.command and result.message:
            return ProbeResult(ok=result.ok, message=self._hidden(result.message))
        if not result.refused or probe.host:
            return result
        sockets = listening(replica.record(self._spec.name).pid)
        if {f"0.0.0.0:{port}", f"[::]:{port}"}.intersection(sockets):
            return ProbeResult(ok=False, refused=True, message=f"{result.message}; it has come to listen there since")
        where = (
            f"it listens on {', '.join(sockets)}, expected 0.0.0.0:{port}" if sockets else "it listens on no TCP port"
        )
        return ProbeResult(ok=False, refused=True, message=f"{result.message}; {where}")

    def _told(self, container_id: str, verdict: Verdict, message: str) -> None:
        """What follows from a probe's verdict."""
        probe = {Kind.STARTUP: self._spec.startup, Kind.LIVENESS: self._spec.liveness}.get(
            verdict.kind, self._spec.readiness
        )
        warned = verdict.kind in self._warned
        if message and probe is not None and warns(probe, verdict, steady() - self._asked_since, warned=warned):
            self._warned.add(verdict.kind)
            self._say("Unhealthy", f"{verdict.kind.capitalize()} probe failed: {message}", warning=True)
        if verdict.held:
            grace = probe.grace_period if probe and probe.grace_period else self._template.grace_period
            self._say("Killing", f"Container {self._spec.name} failed {verdict.kind} probe, will be restarted")
            self._condemn(container_id, message, grace)
            return
        match verdict.kind:
            case Kind.READINESS:
                phase = "Ready" if verdict.passes else "Running"
                self._publish(container_id, ready=bool(verdict.passes), phase=phase, message=message)
            case Kind.STARTUP if verdict.passes:
                self._has_started(container_id)
            case Kind.STARTUP if message:
                self._publish(container_id, message=message)

    def _has_started(self, container_id: str) -> None:
        """Its startup probe has passed, or there is none; without one of readiness it is ready."""
        if self._spec.readiness is None:
            self._publish(container_id, started=True, ready=True, phase="Ready", message="")
        else:
            self._publish(container_id, started=True, message="")
        self._heard()

    def _condemn(self, container_id: str, reason: str, grace: int) -> None:
        replica = self._roster.get(self._replica_name)
        if replica is None or replica.record(self._spec.name).container_id != container_id:
            return
        with self._mail:
            self._condemned = _Condemned(container_id=container_id, reason=reason, grace=grace)
            self._mail.notify_all()

    def _kill(self, condemned: _Condemned) -> None:
        """End a container that failed, so that another one follows; given up where the engine will not."""
        log.info("killing", extra={"replica": self._replica_name, "reason": condemned.reason})
        self._publish(condemned.container_id, ready=False, phase="Running", message=f"being ended: {condemned.reason}")
        self._around.balancer.withdraw(self._replica_name)
        spent = self.prepare_end(condemned.grace)
        try:
            self._engine.stop(condemned.container_id, signal_grace(condemned.grace, spent))
        except EngineError as error:
            log.warning("container not ended", extra={"replica": self._replica_name, "error": str(error)})

    def _tell_of_end(self) -> None:
        """The same as `_record_end`, tried again until the engine answers or the replica is not wanted any more."""
        self._drop_successor()
        if self._follows_at_once():
            self._successor = Successor(self._make_beside, self._engine.remove)
        attempt = 0
        while not self._over():
            try:
                self._record_end()
                return
            except EngineError as error:
                log.warning("end not seen", extra={"replica": self._replica_name, "error": str(error)})
            self._pause(min(0.5 * 2**attempt, LONGEST_RECONNECT))
            attempt += 1

    def _state_at_end(self, container_id: str) -> ContainerState | None:
        """Of one that is started again in any case it does not matter how it ended. Raises EngineError."""
        try:
            return self._engine.inspect(container_id)
        except EngineError as error:
            if not self._again.always:
                raise
            log.warning("end not explained", extra={"replica": self._replica_name, "error": str(error)})
            return None

    def _words_at_end(self) -> tuple[str, ...]:
        try:
            return self.last_words()
        except EngineError as error:
            log.warning("last lines not read", extra={"replica": self._replica_name, "error": str(error)})
            return ()

    def _record_end(self) -> None:
        """Why the container ended, and when it may start again. Raises EngineError where that matters and nobody
        knows."""
        replica, record = self._replica, self._record
        state = self._state_at_end(record.container_id)
        condemned, self._condemned = self._condemned, None
        if state is not None and state.running:
            # The engine was lost for a while and the container was not, or it could not be ended.
            if not self._template.is_group:
                self._roster.update(replica.name, address=state.address)
            self._tell(running=True, pid=state.pid, started=record.started)
            with self._mail:
                self._dead_container = ""
            return
        began_at = state.started_at if state else record.started_at
        ended_at = (state.finished_at if state else None) or time.time()
        backoff = record.backoff.after_end(ended_at - (began_at or ended_at))
        exit_code = state.exit_code if state and began_at is not None else None
        lost = state is None and not self._again.always
        reason = _reason(exit_code, oom=state.oom_killed if state else False)
        why = condemned.reason if condemned and condemned.container_id == record.container_id else ""
        again = self._again.starts_again(exit_code)
        if backoff.delay and again:
            self._say_back_off()
        self._forget_address()
        self._tell(
            running=False,
            started=False,
            ready=False,
            pid=0,
            started_at=began_at,
            ended_at=ended_at,
            backoff=backoff if again else record.backoff,
            done=not again,
            settled=record.container_id,
            lost=lost,
            # Of one that was lost and is not made again nobody knows: the kubelet says as much as of a killed one.
            exit_code=KILLED if exit_code is None and not again else exit_code,
            last_log=self._words_at_end() if state else (),
            phase="CrashLoopBackOff" if again and backoff.delay > 0 and reason != "OOMKilled" else reason,
            message=_end_message(exit_code, oom=reason == "OOMKilled", why=why, lost=lost)
            + (_when(backoff.delay) if again else ""),
        )
        self._heard()

    def _record_refusal(self, error: RuntimeFailure) -> None:
        """The engine would not create or start the container: counted like a container that ended at once."""
        backoff = self._record.backoff.after_end(0.0)
        self._say("Failed", f"Error: {redact([error.message], self._given)[0]}", warning=True)
        if backoff.delay:
            self._say_back_off()
        self._forget_address()
        again = self._again.starts_again(None)
        self._tell(
            running=False,
            started=False,
            ready=False,
            pid=0,
            ended_at=time.time(),
            backoff=backoff if again else self._record.backoff,
            done=not again,
            settled=self._record.container_id,
            exit_code=None if again else NOT_STARTED,
            phase="CrashLoopBackOff" if backoff.delay and again else "Error",
            message=redact([error.message], self._given)[0],
        )
        self._heard()

    def _forget_address(self) -> None:
        """That of a container alone is its own; several have that of the one whose network they share."""
        if not self._template.is_group:
            self._roster.update(self._replica_name, address="")

    def _say(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._around.events.say("Pod", self._namespace, self._pod, reason, message, warning=warning)

    def _say_back_off(self) -> None:
        pod = f"{self._pod}_{self._namespace}"
        self._say("BackOff", f"Back-off restarting failed container {self._spec.name} in pod {pod}", warning=True)

    def _hidden(self, text: str) -> str:
        """What a command in the container wrote, with stars for what the container was given of Secrets."""
        return self._around.creation.hidden(text, self._template, self._namespace, self._given)


def _reason_not_created(error: RuntimeFailure) -> str:
    """In the kubelet's words where they name the object; else with the file or folder that it is about."""
    return (
        error.message if error.subject.startswith(("Secret ", "ConfigMap ", "PersistentVolumeClaim ")) else str(error)
    )


def _reason(exit_code: int | None, *, oom: bool) -> str:
    if oom:
        return "OOMKilled"
    return "Completed" if exit_code == 0 else "Error"


def _when(delay: float) -> str:
    return "; starts again " + (f"{delay:.0f} s after its end" if delay else "at once")


def _end_message(exit_code: int | None, *, oom: bool, why: str = "", lost: bool = False) -> str:
    what = "killed for want of memory" if oom else f"ended with exit code {exit_code}"
    if exit_code is None:
        what = "its container was lost" if lost else "ended"
    if why and not oom:
        what = f"{why}; {what}"
    return what

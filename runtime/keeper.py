"""One thread for one replica: its container's life, and its end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from runtime.errors import EngineError, RuntimeFailure, StoreClosed
from runtime.group import Group
from runtime.hooks import signal_grace
from runtime.life import LONGEST_RECONNECT, Life, Surroundings
from runtime.roster import EVICTED, Replica

log = logging.getLogger(__name__)

UNSCHEDULABLE = "Unschedulable"
GATED = "SchedulingGated"
EVICTION_GRACE = 1.0
LOOK_SECONDS = 30.0
"""The longest until one that waits for room looks again."""


class Keeper(threading.Thread):
    """Sees one replica through its life; a pod of a Job until all of it has ended, and again once it is to go. Others
    only tell it: `terminate`, `halt`, `died`, `leave`."""

    def __init__(self, name: str, around: Surroundings) -> None:
        super().__init__(name=f"keeper {name}", daemon=True)
        self._replica_name = name
        self._around = around
        self._roster = around.roster
        self._mail = threading.Condition()
        self._terminating = False
        self._halted = False
        self._leaving = threading.Event()
        template = self._replica.template
        self._life: Life | Group = (
            Group(name, around, self._unwanted)
            if template.is_group
            else Life(name, template.container, around, self._unwanted, again=template.restarts(template.container))
        )

    def terminate(self) -> None:
        """Drain and stop the replica, then be done."""
        # A keeper that takes over one that ends already finds it not ready any more.
        self._roster.update(self._replica_name, lambda now: now.ready, was_ready=True)
        self._roster.update(
            self._replica_name, terminating=True, ready=False, admitted=False, phase="Terminating", message=""
        )
        self._terminating = True
        self._life.begin_end()
        self._life.wake()
        with self._mail:
            self._mail.notify_all()
        self._around.room.wake()

    def halt(self) -> None:
        """Stop the pod of a Job as it is not wanted any more; its containers and their output stay."""
        self._halted = True
        self._life.begin_end()
        self._life.wake()
        self._around.room.wake()

    def evict(self, reason: str) -> None:
        """Stop it for what it takes. Another takes the place of a Deployment's; a pod of its own, or of a Job, has
        failed."""
        replica = self._roster.get(self._replica_name)
        if replica is None or self._unwanted():
            return
        self._around.events.say("Pod", replica.namespace, replica.shown_name, EVICTED, reason, warning=True)
        if not (replica.pod or replica.job):
            self.terminate()
            return
        self._roster.update(
            replica.name, lambda now: not now.terminating, phase=EVICTED, message=reason, ready=False, admitted=False
        )
        self._life.wake()

    def died(self, container_id: str) -> None:
        """The container was seen to have ended: no request goes to it from now on."""
        self._life.died(container_id)

    def last_words(self) -> tuple[str, ...]:
        """What the main container wrote last, with stars for its Secrets. Raises EngineError."""
        return self._life.last_words()

    def leave(self) -> None:
        """Stop keeping, and leave the container as it is."""
        self._leaving.set()
        self._life.leave()
        with self._mail:
            self._mail.notify_all()

    def run(self) -> None:
        """The replica's life, begun again where something unforeseen breaks it."""
        while True:
            try:
                self._keep()
                return
            except StoreClosed:
                # The engine took longer than the controller waits for its keepers: the next one sees what came of it.
                return
            except EngineError as error:
                log.warning("replica not kept", extra={"replica": self._replica_name, "error": str(error)})
                if self._leaving.wait(1.0):
                    return
            except Exception as error:
                log.exception("keeper failed", extra={"replica": self._replica_name})
                with contextlib.suppress(RuntimeFailure):
                    self._roster.update(self._replica_name, message=f"the controller failed: {error}; it tries again")
                if self._leaving.wait(LONGEST_RECONNECT):
                    return

    def _keep(self) -> None:
        if not self._replica.evicted and self._find_room():
            self._life.live()
        if self._replica.evicted and not self._over():
            self._stop_evicted()
        if self._replica.job and self._come_to_rest():
            return
        self._rest()
        if not self._leaving.is_set():
            self._end()

    @property
    def _replica(self) -> Replica:
        replica = self._roster.get(self._replica_name)
        assert replica is not None, "only its keeper removes a replica"
        return replica

    def _over(self) -> bool:
        return self._terminating or self._leaving.is_set()

    def _unwanted(self) -> bool:
        replica = self._roster.get(self._replica_name)
        return self._over() or self._halted or replica is None or replica.evicted

    def _stop_evicted(self) -> None:
        """Within a second, as the kubelet has it, and what it took of the disk is free again."""
        replica, attempt = self._replica, 0
        self._around.balancer.let_go(replica.name)
        while not self._over():
            try:
                self._life.end(EVICTION_GRACE)
                self._around.creation.forget(replica.template, replica.name)
                return
            except EngineError as error:
                log.warning("replica not stopped", extra={"replica": replica.name, "error": str(error)})
                self._leaving.wait(min(0.5 * 2**attempt, LONGEST_RECONNECT))
                attempt += 1

    def _rest(self) -> None:
        """What it was there for is done: its place is free, and it stays as it is until it is not wanted any more."""
        if not self._over():
            self._around.room.leave(self._replica_name)
        with self._mail:
            self._mail.wait_for(self._over)

    def _come_to_rest(self) -> bool:
        """Whether all of a Job's pod has ended: its place is free, and nobody need keep it until it is to go. Its
        Secrets are not needed any more."""
        attempt = 0
        while not self._over():
            try:
                if self._halted and not self._replica.evicted:
                    self._end_and_keep()
                break
            except EngineError as error:
                log.warning("pod not stopped", extra={"replica": self._replica_name, "error": str(error)})
                self._leaving.wait(min(0.5 * 2**attempt, LONGEST_RECONNECT))
                attempt += 1
        if self._over():
            return False
        self._around.creation.storage.leave_memory(self._replica_name)
        self._around.room.leave(self._replica_name)
        return self._roster.update(self._replica_name, done=True, ready=False, admitted=False)

    def _end_and_keep(self) -> None:
        """Stop what is to stay. What had ended by itself before it got its signal is not one that was stopped, which is
        known to the next controller too. Raises EngineError."""
        replica = self._replica
        if not replica.halted:
            self._life.settle()
            if self._life.is_over():
                return
            self._roster.update(replica.name, halted=True, ready=False, admitted=False)
            self._say_killing(replica)
            self._around.balancer.let_go(replica.name)
        self._life.finish(replica.template.grace_period)

    def _say_killing(self, replica: Replica) -> None:
        for spec in replica.template.serving_containers:
            if replica.record(spec.name).running:
                self._around.events.say(
                    "Pod", replica.namespace, replica.shown_name, "Killing", f"Stopping container {spec.name}"
                )

    def _find_room(self) -> bool:
        """Whether there is a place for it; waited for until there is, or it is not wanted any more."""
        room, seen = self._around.room, 0
        while not (self._replica.placed or self._unwanted()):
            replica = self._replica
            if replica.template.gates:
                gated = f"Scheduling is blocked due to non-empty scheduling gates: {', '.join(replica.template.gates)}"
                if self._tell_pending(gated, phase=GATED):
                    self._around.events.say("Pod", replica.namespace, replica.shown_name, GATED, gated)
                seen = room.wait(seen, LOOK_SECONDS)
                continue
            try:
                problem = room.ask(replica.name, replica.template)
            except EngineError as error:
                self._tell_pending(error.message)
                self._leaving.wait(1.0)
                continue
            if not problem:
                self._roster.update(replica.name, placed=True, phase="Pending", message="")
                break
            if self._tell_pending(f"{UNSCHEDULABLE}: {problem}"):
                self._around.events.say(
                    "Pod", replica.namespace, replica.shown_name, "FailedScheduling", problem, warning=True
                )
            seen = room.wait(seen, LOOK_SECONDS)
        return not self._unwanted()

    def _tell_pending(self, message: str, *, phase: str = "Pending") -> bool:
        """Whether that is new."""
        return self._roster.update(
            self._replica_name,
            lambda now: not now.terminating and now.message != message,
            phase=phase,
            message=message,
        )

    def _end(self) -> None:
        """Out of the balancer, drained, stopped, removed; again and again until the engine has done it."""
        replica = self._replica
        grace = replica.template.grace_period
        self._say_killing(replica)
        until = time.monotonic() + grace
        spent = self._drain(replica, until)
        attempt = 0
        while not self._leaving.is_set():
            try:
                self._life.end(signal_grace(grace, spent))
                self._around.creation.forget(replica.template, replica.name)
                self._roster.remove(replica.name)
                self._around.room.leave(replica.name)
                return
            except EngineError as error:
                log.warning("replica not stopped", extra={"replica": replica.name, "error": str(error)})
                self._leaving.wait(min(0.5 * 2**attempt, LONGEST_RECONNECT))
                attempt += 1

    def _drain(self, replica: Replica, until: float) -> float:
        """Await its last request, and meanwhile what it is to do before its end; the seconds that the latter took."""
        spent = [0.0]
        grace = replica.template.grace_period

        def prepare() -> None:
            spent[0] = self._life.prepare_end(grace)

        hook = threading.Thread(target=prepare, name=f"preStop {replica.name}", daemon=True)
        if any(spec.pre_stop for spec in replica.template.mains):
            hook.start()
        balancer = self._around.balancer
        if not balancer.let_go(replica.name, unless_last=True):
            # Requests come to it still, until another is ready, none comes for a moment, or half of its time is over.
            balancer.wait_idle(replica.name, until - grace / 2, self._leaving)
            balancer.let_go(replica.name)
        awaited = balancer.in_flight(replica.name)
        idle = not replica.running or balancer.wait_idle(replica.name, until, self._leaving)
        if not self._leaving.is_set():
            self._around.drained(replica, awaited, 0 if idle else balancer.in_flight(replica.name))
        while hook.is_alive() and not self._leaving.is_set():
            hook.join(0.2)
        return spent[0]

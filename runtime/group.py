"""The containers of a replica that has several: their common network, the order in which they begin, and their end.

After the kubelet: init containers run one after the other, each to its end; a sidecar among them goes on, and what
follows waits until it has started; then the others begin together. Where the network is lost all of it begins anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from runtime.container import network_name
from runtime.errors import ConfigError, EngineError, StoreClosed
from runtime.hooks import SHORTEST_GRACE, signal_grace
from runtime.labels import Label
from runtime.life import LONGEST_RECONNECT, Life, Surroundings, identity
from runtime.manifest.model import ContainerSpec
from runtime.manifest.restart_rule import RestartAction
from runtime.restart import RestartPolicy
from runtime.roster import Replica

log = logging.getLogger(__name__)

ENGINE_SECONDS = 1.0
"""Until an engine that refused something is asked again."""


class Group:
    """`live` is for one thread, and starts one for each container; others only tell it: `died`, `wake`, `leave`.
    `unwanted` says that the replica is to be stopped, or left alone."""

    def __init__(self, replica: str, around: Surroundings, unwanted: Callable[[], bool]) -> None:
        self._replica_name = replica
        self._around = around
        self._engine, self._roster = around.engine, around.roster
        self._unwanted = unwanted
        self._mail = threading.Condition()
        self._scattered = False
        self._finished = False
        template = self._replica.template
        self._template = template
        self._lives = {
            spec.name: Life(replica, spec, around, self._stops, again=template.restarts(spec), heard=self.wake)
            for spec in template.all_containers
        }
        self._threads: list[threading.Thread] = []
        self._renews = any(rule.action is RestartAction.ALL for spec in template.all_containers for rule in spec.rules)

    def died(self, container_id: str) -> None:
        """A container was seen to have ended, or that which has the network of all."""
        replica = self._roster.get(self._replica_name)
        if replica is None:
            return
        if container_id == replica.sandbox:
            self._scatter()
        for record in replica.containers:
            if record.container_id == container_id:
                self._lives[record.name].died(container_id)
        self.wake()

    def last_words(self) -> tuple[str, ...]:
        """What the main container wrote last, with stars for its Secrets. Raises EngineError."""
        return self._lives[self._template.container.name].last_words()

    def wake(self) -> None:
        """Look again at how things stand."""
        with self._mail:
            self._mail.notify_all()
        for life in self._lives.values():
            life.wake()

    def leave(self) -> None:
        """Ask nothing more of the containers, and leave them as they are."""
        for life in self._lives.values():
            life.leave()
        self.wake()

    def live(self) -> None:
        """Until the replica is not wanted any more, or all that it is there for is done. Raises EngineError."""
        # What has ended while nobody looked has ended, and does not begin anew.
        self.settle()
        if self.is_over():
            self._finish(self._template.grace_period)
            return
        while not self._unwanted():
            self._scattered = self._finished = False
            if not (self._renewed_by() or self.is_over()) and self._gather() and self._go_first():
                for spec in self._template.mains:
                    self._begin(spec)
                self._wait(self.is_over)
            renewing = bool(self._renewed_by()) and not (self._scattered or self.is_over())
            if not (self._scattered or renewing):
                self._finished = not self._unwanted()
            self._join()
            if self._finished:
                self._finish(self._template.grace_period)
            if not (self._scattered or renewing) or self._unwanted():
                return
            try:
                self._renew() if renewing else self._dissolve()
            except EngineError as error:
                # It is tried again before there is another network, or another container.
                log.warning("containers not removed", extra={"replica": self._replica_name, "error": str(error)})
                self._pause(ENGINE_SECONDS)

    def finish(self, grace: float) -> None:
        """End them within `grace` seconds as `end` does, and leave them as they then stand. Raises EngineError."""
        deadline = time.monotonic() + grace
        sidecars = self._template.sidecars
        first = [spec for spec in self._template.all_containers if spec not in sidecars]
        _together(partial(self._lives[spec.name].finish, grace) for spec in first)
        self._finish(max(deadline - time.monotonic(), 0.0))

    def _finish(self, grace: float) -> None:
        """All that the replica is there for is done: end the sidecars, the last one first, and the network."""
        deadline = time.monotonic() + grace
        for spec in reversed(self._template.sidecars):
            self._lives[spec.name].finish(max(deadline - time.monotonic(), 0.0))
        if self._replica.sandbox:
            self._engine.remove(self._replica.sandbox)
        self._roster.update(self._replica_name, sandbox="", address="")

    def is_over(self) -> bool:
        """Whether all that it is there for is done, or cannot begin any more."""
        replica = self._replica
        before = [replica.record(spec.name) for spec in self._template.init if not spec.sidecar]
        failed = any(record.done and record.exit_code != 0 for record in before)
        return failed or all(replica.record(spec.name).done for spec in self._template.mains)

    def settle(self) -> None:
        """Tell of the ends of containers that have ended without a word. Raises EngineError."""
        for life in self._lives.values():
            life.settle()

    def begin_end(self) -> None:
        """It is about to be ended: only readiness is asked for from now on."""
        for life in self._lives.values():
            life.begin_end()

    def prepare_end(self, grace: float) -> float:
        """Do what the containers are to do before their end, all at once; the seconds that this took."""
        began = time.monotonic()
        _together(partial(self._lives[spec.name].prepare_end, grace) for spec in self._template.mains)
        return time.monotonic() - began if any(spec.pre_stop for spec in self._template.mains) else 0.0

    def end(self, grace: float) -> None:
        """End them within `grace` seconds: those that it is there for at once, then the sidecars, the last one first.
        Raises EngineError."""
        deadline = time.monotonic() + grace
        sidecars = self._template.sidecars
        first = [spec for spec in self._template.all_containers if spec not in sidecars]
        _together(partial(self._lives[spec.name].end, grace) for spec in first)
        for spec in reversed(sidecars):
            left = max(deadline - time.monotonic(), 0.0)
            spent = self._lives[spec.name].prepare_end(left)
            self._lives[spec.name].end(signal_grace(left, spent))
        if self._replica.sandbox:
            self._engine.remove(self._replica.sandbox)

    @property
    def _replica(self) -> Replica:
        replica = self._roster.get(self._replica_name)
        assert replica is not None, "only its keeper removes a replica"
        return replica

    def _stops(self) -> bool:
        return self._unwanted() or self._scattered or self._finished or bool(self._renewed_by())

    def _renewed_by(self) -> str:
        """The container after whose end all are to begin anew; empty for none. Known by what is remembered of it alone,
        so that the next controller goes on with that."""
        replica = self._roster.get(self._replica_name) if self._renews else None
        if replica is None:
            return ""
        ended = (spec for spec in self._template.all_containers if replica.record(spec.name).waits)
        return next(
            (
                spec.name
                for spec in ended
                if self._template.restarts(spec).action(replica.record(spec.name).exit_code) is RestartAction.ALL
            ),
            "",
        )

    def _renew(self) -> None:
        """End all containers, and let all of them begin anew in the network that they have, as a rule of one of them
        says; after its own delay, and that one last, by which it is known until then. Raises EngineError."""
        name = self._renewed_by()
        record = self._replica.record(name)
        self._around.balancer.withdraw(self._replica_name)
        self._say("RestartAllContainers", f"Container {name} ended with exit code {record.exit_code}: all begin anew")
        others = [spec.name for spec in self._template.all_containers if spec.name != name]
        _together(partial(self._lives[other].end, SHORTEST_GRACE) for other in others)
        for other in others:
            self._lives[other].begin_anew(again=True)
        self._pause(record.backoff.delay)
        self._lives[name].end(SHORTEST_GRACE)
        self._lives[name].begin_anew()

    def _pause(self, seconds: float) -> None:
        """So long, unless the replica is not wanted any more."""
        with self._mail:
            self._mail.wait_for(self._unwanted, seconds)

    def _scatter(self) -> None:
        self._scattered = True
        self._roster.update(self._replica_name, address="")
        self._around.balancer.withdraw(self._replica_name)

    def _has_started(self, name: str) -> bool:
        return self._replica.record(name).started

    def _wait(self, until: Callable[[], bool]) -> None:
        with self._mail:
            self._mail.wait_for(lambda: self._stops() or until())

    def _gather(self) -> bool:
        """Whether the network is there that they share; made where it is not, and tried again until it is."""
        attempt = 0
        while not self._unwanted():
            try:
                return self._ensure_sandbox()
            except (EngineError, ConfigError) as error:
                log.warning("no sandbox", extra={"replica": self._replica_name, "error": str(error)})
                self._roster.update(self._replica_name, phase="Pending", message=f"no network: {error.message}")
                self._say("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error.message}")
            with self._mail:
                self._mail.wait_for(self._unwanted, min(0.5 * 2**attempt, LONGEST_RECONNECT))
            attempt += 1
        return False

    def _ensure_sandbox(self) -> bool:
        replica = self._replica
        state = self._engine.inspect(replica.sandbox) if replica.sandbox else None
        if state is not None and state.running:
            self._roster.update(replica.name, address=state.address)
            return True
        if replica.sandbox:
            # It was lost while nobody looked.
            self._dissolve()
            if self.is_over():
                return False
        who = identity(replica, self._around)
        network = network_name(who.instance, who.namespace)
        labels: dict[str, str] = {Label.INSTANCE: who.instance, Label.NAMESPACE: who.namespace}
        self._around.met(who.namespace, self._engine.ensure_network(network, labels))
        with self._around.starts:
            if self._unwanted():
                return False
            sandbox = self._around.creation.create_sandbox(replica.template, who)
            self._roster.update(replica.name, sandbox=sandbox)
            self._engine.start(sandbox)
        state = self._engine.inspect(sandbox)
        if state is None or not state.running:
            raise EngineError("sandbox-ended", replica.name, "the container that has the pod's network ended at once")
        self._roster.update(replica.name, address=state.address, message="")
        return True

    def _go_first(self) -> bool:
        """Whether all that comes before the others is done, or has started."""
        for spec in self._template.init:
            if spec.sidecar:
                self._begin(spec)
                self._wait(partial(self._has_started, spec.name))
            elif not self._replica.record(spec.name).done:
                self._lives[spec.name].live()
            if self._stops():
                return False
            record = self._replica.record(spec.name)
            if record.done and record.exit_code != 0:
                return False
        return True

    def _begin(self, spec: ContainerSpec) -> None:
        life = self._lives[spec.name]

        def run() -> None:
            while not self._stops():
                try:
                    life.live()
                    break
                except StoreClosed:
                    break
                except Exception:
                    log.exception("container not kept", extra={"replica": self._replica_name, "container": spec.name})
                    with self._mail:
                        self._mail.wait_for(self._stops, LONGEST_RECONNECT)
            self.wake()

        thread = threading.Thread(target=run, name=f"keeper {self._replica_name} {spec.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _join(self) -> None:
        self.wake()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _dissolve(self) -> None:
        """Remove all containers that have not done what they are there for: the network that they joined is gone. Those
        that are never started again are ended, as the kubelet does. Raises EngineError."""
        self._roster.update(self._replica_name, address="")
        self.settle()
        mains = self._template.mains
        begun = any(self._replica.record(spec.name).container_id for spec in mains)
        if begun and self._template.restart_policy is RestartPolicy.NEVER:
            _together(partial(self._lives[spec.name].finish, SHORTEST_GRACE) for spec in mains)
        for spec in () if self.is_over() else self._template.all_containers:
            if spec in self._template.init or not self._replica.record(spec.name).done:
                self._lives[spec.name].end(SHORTEST_GRACE)
                self._lives[spec.name].begin_anew()
        sandbox = self._replica.sandbox
        if sandbox:
            self._engine.remove(sandbox)
        self._roster.update(self._replica_name, sandbox="")
        self._say("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")

    def _say(self, reason: str, message: str) -> None:
        replica = self._replica
        self._around.events.say(
            "Pod", replica.namespace, replica.shown_name, reason, message, warning=reason.startswith("Failed")
        )


def _together(tasks: Iterable[Callable[[], object]]) -> None:
    """All at once; the first error is raised when all are done."""
    errors: list[Exception] = []

    def run(task: Callable[[], object]) -> None:
        try:
            task()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]

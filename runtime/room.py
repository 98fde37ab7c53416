"""Who has a place on this machine: what asks for more than is free waits until others are gone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from runtime.manifest.model import PodTemplate
from runtime.resources import Amounts, Machine, asked, why_not


class Room:
    """The places of all replicas, for many threads. `machine` is asked once it is needed; raises EngineError."""

    def __init__(self, machine: Callable[[], Machine]) -> None:
        self._machine = machine
        self._taken: dict[str, Amounts] = {}
        self._ports: dict[str, frozenset[int]] = {}
        self._changed = threading.Condition()
        self._version = 0

    def hold(self, name: str, template: PodTemplate) -> None:
        """It has a place already: what runs is not asked to go."""
        with self._changed:
            self._give(name, template)

    def ask(self, name: str, template: PodTemplate) -> str:
        """Empty once it has a place, else why it has none. Raises EngineError."""
        if asked(template) == Amounts() and not (template.node_selector or template.node_name or template.host_ports):
            return ""
        machine = self._machine()
        with self._changed:
            if name in self._taken:
                return ""
            ports = frozenset().union(*self._ports.values())
            reason = why_not(template, machine, tuple(self._taken.values()), ports)
            if not reason:
                self._give(name, template)
            return reason

    def leave(self, name: str) -> None:
        """Its place is free for others, who are woken."""
        with self._changed:
            self._ports.pop(name, None)
            if self._taken.pop(name, None) is not None:
                self._wake()

    def taken(self) -> Amounts:
        """What all that have a place ask for together."""
        with self._changed:
            return sum(self._taken.values(), Amounts())

    def wake(self) -> None:
        """Have those who wait look at something else."""
        with self._changed:
            self._wake()

    def wait(self, seen: int, timeout: float) -> int:
        """The number of the latest departure, once it is another than `seen` or `timeout` seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, timeout)
            return self._version

    def _give(self, name: str, template: PodTemplate) -> None:
        self._taken[name] = asked(template)
        self._ports[name] = frozenset(number for number, _ in template.host_ports)

    def _wake(self) -> None:
        self._version += 1
        self._changed.notify_all()

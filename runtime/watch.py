"""Hears of containers that ended: from the engine's events within milliseconds, from its list in any case."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from runtime.container import ContainerState
from runtime.engine import Engine, Events
from runtime.errors import EngineError
from runtime.roster import Replica, Roster
from runtime.standing import ContainerRecord

log = logging.getLogger(__name__)

RESYNC_SECONDS = 15.0
LONGEST_PAUSE = 10.0


class Told(Protocol):
    """A keeper, as far as the watch knows it."""

    def died(self, container_id: str) -> None:
        """The container was seen to have ended."""


class EngineWatch:
    """Two threads: one follows the events and reconnects, one lists. `error` is the engine's failure while it
    lasts."""

    def __init__(
        self,
        instance: str,
        engine: Engine,
        roster: Roster,
        keeper_of: Callable[[str], Told | None],
    ) -> None:
        self._instance = instance
        self._engine = engine
        self._roster = roster
        self._keeper_of = keeper_of
        self._stopping = threading.Event()
        self._resync_now = threading.Event()
        self._events: Events | None = None
        self.error: EngineError | None = None
        self._threads = [
            threading.Thread(target=self._follow, name="engine events", daemon=True),
            threading.Thread(target=self._list, name="engine list", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads."""
        self._stopping.set()
        self._resync_now.set()
        if self._events is not None:
            self._events.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=1)

    def resync(self, *, whole: bool = True) -> None:
        """Compare the list with the roster; raises EngineError. Without `whole`, a container that is known and runs is
        taken for the process that it was: that it is another one is heard, unless nobody listened."""
        before = self._roster.all()
        running = (record for replica in before for record in replica.containers if record.running and record.pid)
        known = {} if whole else {record.container_id: record.pid for record in running}
        states = {state.id: state for state in self._engine.containers(self._instance, known)}
        for replica in before:
            keeper = self._keeper_of(replica.name)
            if keeper is not None:
                self._compare(replica, states, keeper)

    def _compare(self, replica: Replica, states: Mapping[str, ContainerState], keeper: Told) -> None:
        # One without a process of which we know is being started.
        seen = [record for record in replica.containers if record.running and record.pid]
        ids = [record.container_id for record in seen]
        if replica.sandbox and replica.address:
            ids.append(replica.sandbox)
        for container_id in ids:
            state = states.get(container_id)
            if state is None or not state.running:
                log.info("found ended", extra={"replica": replica.name})
                keeper.died(container_id)
        for record in seen:
            state = states.get(record.container_id)
            if state is not None and state.running and state.pid != record.pid:
                self._roster.tell(replica.name, record.name, partial(_record_of, state.id), pid=state.pid)
        lead = states.get(replica.sandbox or replica.container_id)
        if replica.address and lead is not None and lead.running and lead.address != replica.address:
            self._roster.update(replica.name, partial(_runs_in, lead.id), address=lead.address)

    def _list(self) -> None:
        whole = True
        while not self._stopping.is_set():
            try:
                self.resync(whole=whole)
                self.error = None
            except EngineError as error:
                log.warning("engine not listed", extra={"error": str(error)})
                self.error = error
            except Exception:
                log.exception("resync failed")
            asked = self._resync_now.wait(1.0 if self.error else RESYNC_SECONDS)
            self._resync_now.clear()
            whole = asked or self.error is not None

    def _follow(self) -> None:
        pause = 0.2
        while not self._stopping.is_set():
            try:
                self._events = self._engine.events(self._instance)
            except EngineError as error:
                log.warning("no events", extra={"error": str(error)})
                self._stopping.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = 0.2
            # What ended while nobody listened is found by the list.
            self._resync_now.set()
            self._hear(self._events)
            self._events.close()
            self._resync_now.set()
            self._stopping.wait(pause)

    def _hear(self, events: Events) -> None:
        for action, container_id in events:
            if self._stopping.is_set():
                return
            if action != "die":
                continue
            replica = self._roster.by_container(container_id)
            keeper = None if replica is None else self._keeper_of(replica.name)
            if keeper is not None:
                keeper.died(container_id)


def _record_of(container_id: str, _: Replica, record: ContainerRecord) -> bool:
    return record.container_id == container_id


def _runs_in(container_id: str, replica: Replica) -> bool:
    return container_id in replica.container_ids

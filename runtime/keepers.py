"""The keepers of all replicas, by name."""

from __future__ import annotations

import logging
import threading

from runtime.keeper import Keeper
from runtime.life import Surroundings
from runtime.roster import Replica

log = logging.getLogger(__name__)


class Keepers:
    """For many threads. `around` is what they share."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._keepers: dict[str, Keeper] = {}
        self._lock = threading.Lock()

    def begin(self, replica: Replica) -> None:
        """A replica that was decided on."""
        log.info("starting", extra={"replica": replica.name})
        self._around.roster.add(replica)
        self.make(replica).start()

    def make(self, replica: Replica) -> Keeper:
        """One for a replica in the roster, to be started."""
        keeper = Keeper(replica.name, self._around)
        with self._lock:
            self._keepers[replica.name] = keeper
        return keeper

    def get(self, name: str) -> Keeper | None:
        """The one of a replica; None where there is none, or none any more."""
        with self._lock:
            return self._keepers.get(name)

    def end(self, name: str) -> None:
        """Stop the replica and remove it, or, of a Job's pod that has ended, what is left of it."""
        replica = self._around.roster.get(name)
        if replica is None or replica.terminating:
            return
        log.info("stopping", extra={"replica": name})
        if replica.done:
            keeper = self.make(replica)
            keeper.terminate()
            keeper.start()
        elif (known := self.get(name)) is not None:
            known.terminate()

    def halt(self, name: str) -> None:
        """Stop a Job's pod, which stays as it then is."""
        replica, keeper = self._around.roster.get(name), self.get(name)
        if keeper is not None and replica is not None and not (replica.halted or replica.done):
            log.info("halting", extra={"replica": name})
            keeper.halt()

    def all(self) -> list[Keeper]:
        """Every one."""
        with self._lock:
            return list(self._keepers.values())

    def prune(self) -> None:
        """Forget those that have nothing to do any more."""
        with self._lock:
            for name in [name for name in self._keepers if self._is_needless(name)]:
                del self._keepers[name]

    def _is_needless(self, name: str) -> bool:
        replica = self._around.roster.get(name)
        return replica is None or (replica.done and not replica.terminating)

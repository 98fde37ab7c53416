"""Processes of earlier configurations, which finish what they began and cannot be told anything any more.

After a reload the old process answers on the connections it has, until their clients close them or have had one more
answer. What it counts belongs to the sums, and a replica that it knows must not be stopped while it may still send it a
request. It cannot be told to leave the replica alone, as the serving process is: to a process that leaves, all of its
proxies are disabled, and `set server` is refused.
"""

from __future__ import annotations

import logging

from runtime.balancer.counters import Counters
from runtime.balancer.socket import CommandSocket, WorkerSession
from runtime.balancer.stats import parse_clients, parse_leaving, parse_may_ask, parse_stat
from runtime.errors import BalancerError
from runtime.settings import RuntimeSettings

log = logging.getLogger(__name__)


class LeavingProcesses:
    """The old processes, and their counts. The balancer's lock guards it."""

    def __init__(self, settings: RuntimeSettings, counters: Counters) -> None:
        self._path = settings.balancer_socket
        self._master = CommandSocket(settings.balancer_master_socket)
        self._counters = counters
        self._held: dict[int, WorkerSession] = {}
        self._strangers: tuple[int, ...] = ()
        self._said: dict[int, str] = {}
        self._first_look = True

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._held or self._strangers)

    def may_ask(self, server: str) -> bool:
        """Whether one of them has something under way at a server, or may have by a client that asks once more."""
        return any(
            any(row.server == server and not row.idle for row in parse_stat(text))
            or parse_may_ask(text, self._ask(pid, "show sess"))
            for pid, text in self._said.items()
        )

    def _ask(self, pid: int, question: str) -> str:
        """Nothing where it is gone meanwhile."""
        try:
            held = self._held.get(pid)
            return held.ask(question) if held is not None else self._master.ask(f"@!{pid} {question}")
        except BalancerError as error:
            log.debug("old process gone", extra={"process": pid, "error": str(error)})
            return ""

    def in_flight(self, server: str) -> int:
        """What they have under way at a server, as of the last look."""
        rows = (row for text in self._said.values() for row in parse_stat(text))
        return sum(row.current + row.queued for row in rows if row.server == server)

    def hold(self, pid: int) -> None:
        """The process that answers now is about to be replaced: keep it until its last client has gone."""
        self._held[pid] = WorkerSession(self._path)

    def release(self, pid: int) -> None:
        """It was not replaced after all."""
        session = self._held.pop(pid, None)
        if session is not None:
            session.close()

    def look(self, serving: int) -> None:
        """Fold the counts of those that are left, and let go those without clients. `serving` is not one of them."""
        for pid, session in tuple(self._held.items()):
            if pid != serving:
                self._look_at(pid, session)
        if self._first_look or self._strangers:
            self._look_for_strangers()
        left = {serving, *self._held, *self._strangers}
        self._said = {pid: text for pid, text in self._said.items() if pid in left - {serving}}
        self._counters.keep_processes(list(left))

    def _look_at(self, pid: int, session: WorkerSession) -> None:
        try:
            text = session.ask("show stat")
        except BalancerError as error:
            log.debug("old process gone", extra={"process": pid, "error": str(error)})
            clients = 0
        else:
            self._said[pid] = text
            self._counters.fold(pid, parse_stat(text), leaving=True)
            clients = parse_clients(text)
        if clients == 0:
            session.close()
            del self._held[pid]

    def _look_for_strangers(self) -> None:
        """Old processes that an earlier controller left behind; the master passes questions on to them."""
        self._strangers = tuple(pid for pid in parse_leaving(self._master.ask("show proc")) if pid not in self._held)
        self._first_look = False
        for pid in self._strangers:
            self._said[pid] = self._master.ask(f"@!{pid} show stat")
            self._counters.fold(pid, parse_stat(self._said[pid]), leaving=True)

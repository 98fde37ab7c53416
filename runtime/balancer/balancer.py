"""The one who talks to HAProxy: brings its servers to what is wanted, in the order that drops no request.

Facts that decide the order, found on HAProxy 2.6: servers, hosts and certificates come and go at run time, backends
need a reload; a reload forgets what was added at run time, so the files hold all that is wanted before any reload; a
server is deleted only in maintenance and without connections, and safely only some time after its last one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from runtime.balancer.config import Backend, Server, beside, endpoint, server_words, stamp
from runtime.balancer.counters import Counters
from runtime.balancer.files import BalancerFiles
from runtime.balancer.keyring import NONE_GIVEN, Ring
from runtime.balancer.leaving import LeavingProcesses
from runtime.balancer.live import LiveLists
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import BACKEND, Info, Row, parse_failed_reloads, parse_info, parse_stat
from runtime.errors import BalancerError
from runtime.model import ServiceCounters
from runtime.settings import RuntimeSettings

log = logging.getLogger(__name__)

DELETE_AFTER = 1.0
"""Seconds without a connection before a server is deleted; HAProxy 2.6 can crash when it is deleted at once."""

SETTLES_WITHIN = 5.0
"""Seconds after a reload in which it is looked often whether the old process has ended."""
RELOAD_TIMEOUT = 5.0
RETRY_AFTER = 10.0
POLL = 0.02

Wanted = Callable[[], Sequence[Backend]]
Place = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Refused:
    """A reload that failed: not tried again before `until`, of `time.monotonic`."""

    stamp: str
    until: float
    error: BalancerError


class Balancer:
    """HAProxy as it is, against the backends that are wanted. Every command goes through one lock."""

    def __init__(self, settings: RuntimeSettings, counters: Counters) -> None:
        self._settings = settings
        self._counters = counters
        self._files = BalancerFiles(settings)
        self._worker = CommandSocket(settings.balancer_socket)
        self._master = CommandSocket(settings.balancer_master_socket)
        self._lock = threading.RLock()
        self._places: dict[str, set[str]] = {}
        self._lasting: set[str] = set()
        self._let_go: set[str] = set()
        self._idle_since: dict[Place, float] = {}
        self._refused: _Refused | None = None
        self._live = LiveLists(settings)
        self._loaded_for: tuple[int, tuple[str, ...]] | None = None
        self._reloaded_at = -SETTLES_WITHIN
        self._leaving = LeavingProcesses(settings, counters)
        self.given: Callable[[], Mapping[str, bytes]] = dict
        """Certificates with their keys that are to be served beside those of the folders, by names that stay theirs."""
        self.error: BalancerError | None = BalancerError("balancer-unreachable", "HAProxy", "not asked yet")

    def sync(self, wanted: Wanted) -> frozenset[Place]:
        """Make HAProxy serve what `wanted` says, asked under the lock; (backend, server) of those that get requests.

        Raises BalancerError where HAProxy does not answer; the files are then already as wanted, for its next start.
        A reload that fails leaves its reason in `error`; the backends that the running process has are kept in step.
        """
        with self._lock:
            try:
                up, self.error = self._sync(self._without_let_go(wanted()))
            except BalancerError as error:
                self.error = error
                raise
            return up

    def withdraw(self, server: str) -> None:
        """No new request to this server from now on, in any backend, unless `sync` is asked for it again; those in
        flight may finish."""
        with self._lock:
            self._take_out(server, self._places.pop(server, set()))

    def let_go(self, server: str, *, unless_last: bool = False) -> bool:
        """No new request to this server ever again. With `unless_last` it stays where no other would be left but such
        as stay for the same reason; False where it does, anywhere."""
        with self._lock:
            backends = self._places.pop(server, set())
            kept = {backend for backend in backends if self._is_last(server, backend)} if unless_last else set()
            if kept:
                self._places[server] = kept
                self._lasting.add(server)
            else:
                self._lasting.discard(server)
                self._let_go.add(server)
            self._take_out(server, backends - kept)
            return not kept

    def _take_out(self, server: str, backends: Iterable[str]) -> None:
        for backend in backends:
            try:
                self._command(f"set server {backend}/{server} state maint")
            except BalancerError as error:
                log.warning("server not withdrawn", extra={"server": server, "error": str(error)})

    def _is_last(self, server: str, backend: str) -> bool:
        others = (name for name, places in self._places.items() if backend in places and name != server)
        return all(name in self._lasting for name in others)

    def wait_idle(self, server: str, deadline: float, stop: threading.Event) -> bool:
        """Whether the server's last request ended before `deadline` (`time.monotonic`) or HAProxy is gone.

        A process of an earlier configuration still knows the server, so what it has there is waited for too, and that
        its clients have asked for the last time.
        """
        while True:
            try:
                if self._is_idle(server):
                    return True
            except BalancerError:
                return True
            if time.monotonic() >= deadline or stop.wait(POLL):
                return False

    def in_flight(self, server: str) -> int:
        """The requests and connections that the server has now, also in processes of earlier configurations; 0 where
        HAProxy does not answer."""
        with self._lock:
            try:
                _, rows = self._look()
            except BalancerError:
                return 0
            mine = sum(row.current + row.queued for row in rows if row.server == server)
            return mine + self._leaving.in_flight(server)

    def certificate_problem(self, name: str) -> str:
        """Why a certificate that was given by this name is not served; empty where it is."""
        with self._lock:
            return self._files.problem(name)

    @property
    def settling(self) -> bool:
        """Whether a process of an earlier configuration may end any moment, as most do within seconds of a reload."""
        return self._leaving.any and time.monotonic() - self._reloaded_at < SETTLES_WITHIN

    def counters(self, *backends: str) -> ServiceCounters:
        """The sums of these backends, fresh where HAProxy answers."""
        with self._lock:
            try:
                self._look()
            except BalancerError as error:
                log.debug("counters are those of the last look", extra={"error": str(error)})
            return self._counters.of(*backends)

    def served(self) -> dict[str, int]:
        """How many requests each server was given since it was added, as of the last look; a server that is in no
        backend is not there."""
        with self._lock:
            return self._counters.by_server(self._places)

    def sums(self, *backends: str) -> ServiceCounters:
        """The same as `counters`, as of the last look."""
        with self._lock:
            return self._counters.of(*backends)

    def saved_counters(self) -> str | None:
        """The sums as text to be stored; None where nothing was counted since the last call."""
        with self._lock:
            if not self._counters.changed:
                return None
            self._counters.changed = False
            return self._counters.to_json()

    def _without_let_go(self, backends: Sequence[Backend]) -> Sequence[Backend]:
        """Who decided on these may not know yet that one of their servers was let go."""
        self._let_go &= {server.name for backend in backends for server in backend.servers}
        if not self._let_go:
            return backends
        return [
            replace(backend, servers=tuple(item for item in backend.servers if item.name not in self._let_go))
            for backend in backends
        ]

    def _sync(self, backends: Sequence[Backend]) -> tuple[frozenset[Place], BalancerError | None]:
        ring = self._files.ring(self.given() if self._settings.public else NONE_GIVEN)
        refused = self._write(backends, ring)
        info, rows = self._look()
        reloaded_at = self._reloaded_at
        refused = refused or self._reload_unless_loaded(info, stamp(self._settings, backends))
        refused = refused or self._sync_lists(backends, ring)
        if self._reloaded_at != reloaded_at:
            info, rows = self._look()
        self._places = {}
        self._lasting &= {server.name for backend in backends for server in backend.servers}
        loaded = {row.backend for row in rows}
        changed = [self._sync_backend(info, backend, rows) for backend in backends if backend.name in loaded]
        if any(changed):
            info, rows = self._look()
        for gone in set(self._counters.backends()) - {backend.name for backend in backends}:
            self._counters.drop_backend(gone)
        there = {(row.backend, row.server): row.address for row in rows if row.up}
        up = frozenset(
            (backend.name, server.name)
            for backend in backends
            for server in backend.servers
            if there.get((backend.name, server.name)) == endpoint(server)
        )
        return up, refused

    def _sync_backend(self, info: Info, backend: Backend, rows: Sequence[Row]) -> bool:
        """Whether anything was changed. New servers come in before old ones go."""
        there = {row.server: row for row in rows if row.backend == backend.name and row.server != BACKEND}
        changed = False
        for server in backend.servers:
            self._places.setdefault(server.name, set()).add(backend.name)
            changed |= self._serve(backend, server, there.get(server.name))
        wanted = {server.name for server in backend.servers}
        for row in there.values():
            if row.server not in wanted:
                changed |= self._retire(info, row)
            else:
                self._idle_since.pop((row.backend, row.server), None)
        return changed

    def _serve(self, backend: Backend, server: Server, row: Row | None) -> bool:
        place = f"{backend.name}/{server.name}"
        if row is None:
            # Without these two a dynamic server of 2.6 opens a connection for each request.
            words = f"{server_words(backend, server)} pool-purge-delay 5s pool-max-conn -1"
            self._command(f"add server {place} {words}", "New server")
            self._command(f"enable server {place}")
            return True
        if row.address != endpoint(server):
            self._command(f"set server {place} state maint")
            self._command(
                f"set server {place} addr {server.address} port {server.port}", "changed", "no need to change"
            )
            self._command(f"set server {place} state ready")
            return True
        if row.in_maintenance:
            self._command(f"set server {place} state ready")
            return True
        return False

    def _retire(self, info: Info, row: Row) -> bool:
        place = (row.backend, row.server)
        if not row.in_maintenance:
            self._command(f"set server {row.backend}/{row.server} state maint")
            return True
        if not row.idle:
            self._idle_since.pop(place, None)
            return False
        since = self._idle_since.setdefault(place, time.monotonic())
        if time.monotonic() - since < DELETE_AFTER:
            return False
        try:
            self._command(f"del server {row.backend}/{row.server}", "Server deleted")
        except BalancerError as error:
            log.debug("server not deleted yet", extra={"server": row.server, "error": str(error)})
            return False
        self._idle_since.pop(place, None)
        self._counters.forget_server(info.pid, row.backend, row.server)
        return True

    def _write(self, backends: Sequence[Backend], ring: Ring) -> BalancerError | None:
        """Why the files are not as wanted, or None."""
        try:
            self._files.write(backends, ring)
        except BalancerError as error:
            log.warning("configuration not written", extra={"error": str(error)})
            return error
        return None

    def _reload_unless_loaded(self, info: Info, wanted_stamp: str) -> BalancerError | None:
        """Why the running process is not what is wanted, or None; one that failed is not tried again at once."""
        if info.description == wanted_stamp:
            return None
        return self._reload_or_say(info, wanted_stamp)

    def _reload_or_say(self, info: Info, wanted_stamp: str) -> BalancerError | None:
        if self._refused and self._refused.stamp == wanted_stamp and time.monotonic() < self._refused.until:
            return self._refused.error
        try:
            self._reload(info.pid, wanted_stamp)
        except BalancerError as error:
            log.warning("reload failed", extra={"error": str(error)})
            self._refused = _Refused(stamp=wanted_stamp, until=time.monotonic() + RETRY_AFTER, error=error)
            return error
        self._refused = None
        return None

    def _sync_lists(self, backends: Sequence[Backend], ring: Ring) -> BalancerError | None:
        """Why the hosts and certificates of the running process are not those that are wanted, or None. One that
        refuses a change is reloaded, once for the same lists: it has them from the files then, or from nowhere."""
        try:
            self._live.sync(backends, ring)
        except BalancerError as error:
            if error.code != "balancer-refused":
                raise
            log.warning("lists not changed in the running process", extra={"error": str(error)})
            info, _ = self._look()
            lists = tuple(beside(self._settings, backends, ring).values())
            if self._loaded_for == (info.pid, lists):
                return error
            refused = self._reload_or_say(info, stamp(self._settings, backends))
            if refused is None:
                info, _ = self._look()
                self._loaded_for = (info.pid, lists)
            return refused
        return None

    def _reload(self, old_pid: int, wanted_stamp: str) -> None:
        log.info("reloading the balancer", extra={"stamp": wanted_stamp})
        self._reloaded_at = time.monotonic()
        failed_before = parse_failed_reloads(self._master.ask("show proc"))
        # Held from before, so that the old process cannot end uncounted.
        self._leaving.hold(old_pid)
        try:
            self._master.ask("reload")
            self._await_process(old_pid, wanted_stamp, failed_before)
        except BalancerError:
            self._leaving.release(old_pid)
            raise

    def _await_process(self, old_pid: int, wanted_stamp: str, failed_before: int) -> None:
        deadline = time.monotonic() + RELOAD_TIMEOUT
        reason = f"no new process after {RELOAD_TIMEOUT:.0f} s"
        while time.monotonic() < deadline:
            # Neither socket answers for some milliseconds in the middle of a reload.
            with contextlib.suppress(BalancerError):
                info, _ = self._look()
                if info.pid != old_pid and info.description == wanted_stamp:
                    return self._await_silence(old_pid, deadline)
                if parse_failed_reloads(self._master.ask("show proc")) > failed_before:
                    reason = "HAProxy would not load it; perhaps its address or port is taken"
                    break
            time.sleep(POLL)
        raise BalancerError(
            "balancer-reload-failed",
            str(self._settings.balancer_config),
            reason,
            hint="look at HAProxy's log",
            kept="the running configuration serves on",
        )

    def _await_silence(self, old_pid: int, deadline: float) -> None:
        """Until the old process listens no more, it answers some who come new, by what it knows."""
        while self._leaving.listens(old_pid):
            if time.monotonic() >= deadline:
                log.warning("the old process listens on", extra={"process": old_pid})
                return
            time.sleep(POLL)

    def _look(self) -> tuple[Info, tuple[Row, ...]]:
        """What the serving process says, with the counts of all processes folded."""
        # One question: of two, the old process may answer the first and its successor the second, in a reload.
        said, _, counted = self._worker.ask("show info;show stat").partition("\n\n")
        info, rows = parse_info(said), parse_stat(counted)
        self._counters.fold(info.pid, rows)
        self._leaving.look(info.pid)
        return info, rows

    def _is_idle(self, server: str) -> bool:
        with self._lock:
            _, rows = self._look()
            return not self._leaving.may_ask(server) and all(row.idle for row in rows if row.server == server)

    def _command(self, command: str, *answers: str) -> None:
        """Carry out a command whose answer must be empty or hold one of `answers`."""
        answer = self._worker.ask(command)
        if answer and not any(expected in answer for expected in answers):
            raise BalancerError("balancer-refused", command, f"HAProxy answered: {answer}")

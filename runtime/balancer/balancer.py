"""What the controller asks of the load balancer, one change at a time.

Adding a Service or a host name needs a reload (no version before 3.4 can add a backend at run time); adding and
removing replicas does not. Before each reload the file is written with the servers of that moment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime.balancer.config import SERVER_OPTIONS, Backend, Server, hosts_file, render, render_hosts
from runtime.balancer.haproxy import HAProxy, check_config
from runtime.errors import BalancerError
from runtime.model import ServiceCounters
from runtime.settings import RuntimeSettings

log = logging.getLogger(__name__)

IDLE_LOOK = 0.02
"""Seconds between looks at whether a server has answered its last request."""
COUNTED = ("stot", "econ", "eresp", "wretr", "wredis", "hrsp_5xx")


@dataclass(slots=True)
class Sums:
    """Counters of a backend that never go back, though a reload starts HAProxy's own from 0."""

    past: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def see(self, now: dict[str, int]) -> None:
        """Take in what HAProxy says now."""
        if any(now[key] < self.last.get(key, 0) for key in now):
            self.past = {key: self.past.get(key, 0) + self.last.get(key, 0) for key in now}
        self.last = now

    def total(self, key: str) -> int:
        """A counter since the backend was added."""
        return self.past.get(key, 0) + self.last.get(key, 0)


class Balancer:
    """HAProxy with the state that is wanted of it; safe to call from several threads."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._settings = settings
        self._haproxy = HAProxy(settings.balancer_socket, settings.balancer_master_socket)
        self._lock = threading.RLock()
        self._backends: dict[str, Backend] = {}
        self._sums: dict[str, Sums] = {}

    def answers(self) -> bool:
        """Whether HAProxy is there."""
        try:
            return self._haproxy.command("show info").startswith("Name: HAProxy")
        except BalancerError:
            return False

    def route(self, backends: Sequence[Backend]) -> None:
        """Have exactly these backends and hosts; servers are left as they are. Reloads where something changes."""
        with self._lock:
            wanted = {
                backend.name: replace(backend, servers=self._servers(backend.name))
                for backend in sorted(backends, key=lambda backend: backend.name)
            }
            if wanted == self._backends:
                return
            before, self._backends = self._backends, wanted
            try:
                self._reload()
            except BalancerError:
                self._backends = before
                raise

    def add(self, backend: str, server: Server) -> None:
        """Give a replica traffic. Returns once HAProxy does."""
        with self._lock:
            known = self._backends.get(backend)
            if known is None:
                return
            others = tuple(one for one in known.servers if one.name != server.name)
            if server in known.servers:
                self._haproxy.set_state(backend, server.name, "ready")
                return
            if len(others) != len(known.servers):
                self._take_out(backend, server.name)
            self._haproxy.add(backend, server.name, f"{server.address}:{server.port}", SERVER_OPTIONS)
            self._backends[backend] = replace(known, servers=(*others, server))
            self._write()

    def pause(self, backend: str, server: str) -> None:
        """Take a replica's traffic away at once; what it is answering goes on."""
        with self._lock:
            if any(one.name == server for one in self._servers(backend)):
                self._haproxy.set_state(backend, server, "maint")

    def wait_idle(self, backend: str, server: str, seconds: float) -> bool:
        """Wait until a paused replica has answered its last request; False after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            row = self._haproxy.stats().get((backend, server))
            if row is None or (int(row["scur"] or 0) == 0 and int(row["qcur"] or 0) == 0):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(IDLE_LOOK)

    def remove(self, backend: str, server: str) -> None:
        """Forget a replica."""
        with self._lock:
            known = self._backends.get(backend)
            if known is None or all(one.name != server for one in known.servers):
                return
            self._take_out(backend, server)
            self._backends[backend] = replace(known, servers=tuple(one for one in known.servers if one.name != server))
            self._write()

    def counters(self, backend: str) -> ServiceCounters:
        """What HAProxy counted for a backend since it was added."""
        with self._lock:
            stats = self._look()
            row = stats.get((backend, "BACKEND"), {})
            sums = self._sums.get(backend, Sums())
            return ServiceCounters(
                requests=sums.total("stot"),
                failed=sums.total("econ") + sums.total("eresp"),
                retried=sums.total("wretr"),
                redispatched=sums.total("wredis"),
                errors_5xx=sums.total("hrsp_5xx"),
                in_flight=int(row.get("scur") or 0),
                per_replica={
                    server: int(found["stot"] or 0)
                    for (name, server), found in stats.items()
                    if name == backend and server not in ("BACKEND", "FRONTEND")
                },
            )

    def mend(self) -> None:
        """Compare what HAProxy has with what is wanted, and mend the difference: it may have been started anew."""
        with self._lock:
            have = self._haproxy.addresses()
            stats = self._look()
            missing = [name for name in self._backends if (name, "BACKEND") not in stats]
            wanted = {
                (backend.name, server.name): f"{server.address}:{server.port}"
                for backend in self._backends.values()
                for server in backend.servers
            }
            ours = {key: address for key, address in have.items() if key[0] in self._backends}
            if missing or ours != wanted:
                log.warning("HAProxy differs from what is wanted; reloading")
                self._reload()

    def _servers(self, backend: str) -> tuple[Server, ...]:
        known = self._backends.get(backend)
        return known.servers if known else ()

    def _take_out(self, backend: str, server: str) -> None:
        self._haproxy.set_state(backend, server, "maint")
        if not self._haproxy.delete(backend, server):
            # Its name is taken until the next reload, and it gets no traffic: no harm.
            log.warning("HAProxy keeps %s/%s: connections to it are still open", backend, server)

    def _look(self) -> dict[tuple[str, str], dict[str, str]]:
        stats = self._haproxy.stats()
        for name in self._backends:
            row = stats.get((name, "BACKEND"))
            if row:
                self._sums.setdefault(name, Sums()).see({key: int(row.get(key) or 0) for key in COUNTED})
        return stats

    def _write(self) -> None:
        """Keep the file up to date: whoever starts HAProxy anew finds the servers in it."""
        backends = list(self._backends.values())
        _replace(hosts_file(self._settings), render_hosts(backends))
        _replace(self._settings.balancer_config, render(self._settings, backends))

    def _reload(self) -> None:
        backends = list(self._backends.values())
        draft = self._settings.balancer_config.with_suffix(".new")
        hosts = hosts_file(self._settings)
        before = hosts.read_text() if hosts.exists() else ""
        _replace(hosts, render_hosts(backends))
        draft.write_text(render(self._settings, backends))
        try:
            check_config(draft)
        except BalancerError:
            _replace(hosts, before)
            raise
        finally:
            draft.unlink(missing_ok=True)
        if self.answers():
            self._look()
        _replace(self._settings.balancer_config, render(self._settings, backends))
        self._haproxy.reload()


def _replace(target: Path, text: str) -> None:
    """Readers see the old text or the new one."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.write_text(text)
    temporary.replace(target)

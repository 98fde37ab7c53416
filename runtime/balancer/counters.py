"""Sums that outlive HAProxy's own: it forgets with every reload, restart and deleted server, these never go back."""

from __future__ import annotations

import json
from collections.abc import Iterable

from runtime.balancer.stats import BACKEND, Row
from runtime.model import ServiceCounters

FIELDS = ("requests", "retries", "redispatches", "errors_5xx", "aborted", "dropped")
KEPT_SERVERS = 100
"""Servers long gone whose own count is still shown; the sums of the Service keep them for ever."""


class Counters:
    """Folds what each process says into totals. Not thread-safe; the balancer's lock guards it."""

    def __init__(self) -> None:
        self._totals: dict[str, dict[str, dict[str, int]]] = {}
        self._seen: dict[str, list[int]] = {}
        self._in_flight: dict[str, dict[int, int]] = {}
        self.changed = False

    def fold(self, pid: int, rows: Iterable[Row]) -> None:
        """Add what was counted since the last look at this process; a count that fell has begun anew."""
        for row in rows:
            key = f"{pid}/{row.backend}/{row.server}"
            now = [getattr(row, name) for name in FIELDS]
            before = self._seen.get(key, [0] * len(FIELDS))
            if len(before) < len(FIELDS):
                # Of a controller that did not count the last fields, nor all requests: what was before it is not new.
                self._seen[key] = before = [now[0], *before[1:], *now[len(before) :]]
            if row.server == BACKEND:
                self._in_flight.setdefault(row.backend, {})[pid] = row.current
            if now == before:
                continue
            totals = self._totals.setdefault(row.backend, {}).setdefault(row.server, dict.fromkeys(FIELDS, 0))
            fell = any(new < old for new, old in zip(now, before, strict=True))
            for name, new, old in zip(FIELDS, now, before, strict=True):
                totals[name] += new if fell else new - old
            self._seen[key] = now
            self.changed = True

    def forget_server(self, pid: int, backend: str, server: str) -> None:
        """The process no longer has the server; one of the same name would count from 0."""
        self._seen.pop(f"{pid}/{backend}/{server}", None)

    def keep_processes(self, pids: Iterable[int]) -> None:
        """Forget the baselines of processes that are gone."""
        living = set(pids)
        self._seen = {key: value for key, value in self._seen.items() if int(key.split("/", 1)[0]) in living}
        for flights in self._in_flight.values():
            for pid in set(flights) - living:
                del flights[pid]

    def drop_backend(self, backend: str) -> None:
        """The Service is gone; one of the same name begins at 0."""
        if self._totals.pop(backend, None) is not None:
            self.changed = True
        self._in_flight.pop(backend, None)

    def backends(self) -> tuple[str, ...]:
        """Those that have counted anything."""
        return tuple(self._totals)

    def of(self, backend: str) -> ServiceCounters:
        """The sums of one backend; zeros for one that has counted nothing yet.

        A 5xx that the backend counted and no server did is HAProxy's own answer: a request it could not serve.
        Some of the dropped requests it counts as aborted, too, not telling which: the larger of the two is taken, which
        is none only where there is none, and the least that it can be where there are both.
        """
        servers = dict(self._totals.get(backend, {}))
        whole = servers.pop(BACKEND, dict.fromkeys(FIELDS, 0))
        by_servers = sum(totals["errors_5xx"] for totals in servers.values())
        recent = list(servers.items())[-KEPT_SERVERS:]
        return ServiceCounters(
            requests=whole["requests"],
            failed=max(0, whole["errors_5xx"] - by_servers) + max(whole["aborted"], whole["dropped"]),
            retried=whole["retries"],
            redispatched=whole["redispatches"],
            errors_5xx=by_servers,
            in_flight=sum(self._in_flight.get(backend, {}).values()),
            per_replica={name: totals["requests"] for name, totals in recent},
        )

    def to_json(self) -> str:
        """Totals and baselines, so that a later controller goes on counting the same HAProxy."""
        return json.dumps({"totals": self._totals, "seen": self._seen})

    @classmethod
    def from_json(cls, text: str) -> Counters:
        """The inverse of `to_json`."""
        raw = json.loads(text)
        counters = cls()
        # Those of a version that counted less begin at 0 in what it did not count.
        counters._totals = {
            backend: {name: {**dict.fromkeys(FIELDS, 0), **totals} for name, totals in servers.items()}
            for backend, servers in raw["totals"].items()
        }
        counters._seen = raw["seen"]
        return counters

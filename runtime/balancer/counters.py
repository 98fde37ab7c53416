"""Sums that outlive HAProxy's own: it forgets with every reload, restart and deleted server, these never go back."""

from __future__ import annotations

import json
from collections import Counter as Sums
from collections.abc import Collection, Iterable, Mapping

from runtime.balancer.stats import BACKEND, Row
from runtime.model import ServiceCounters

CLASSES = ("1xx", "2xx", "3xx", "4xx")
FIELDS = (
    "requests", "retries", "redispatches", "errors_5xx", "aborted", "dropped",
    *(f"answers_{name}" for name in CLASSES),
)  # fmt: skip
UNKNOWN = "unknown"
"""In place of a class: of answers that were counted when no classes were."""
GONE = "(gone)"
"""In place of servers that were there once; no replica has such a name."""
OLDEST_FIELDS = 6
"""Fewer were counted by versions that did not count all requests either."""
KEPT_SERVERS = 100
"""Servers long gone whose own count is still shown; the sums of the Service keep them for ever."""


class Counters:
    """Folds what each process says into totals. Not thread-safe; the balancer's lock guards it."""

    def __init__(self) -> None:
        self._totals: dict[str, dict[str, dict[str, int]]] = {}
        self._seen: dict[str, list[int]] = {}
        self._in_flight: dict[str, dict[int, int]] = {}
        self._latest: dict[str, Row] = {}
        self.changed = False

    def fold(self, pid: int, rows: Iterable[Row], *, leaving: bool = False) -> None:
        """Add what was counted since the last look at this process; a count that fell has begun anew. What is no sum is
        that of a process that is not `leaving`."""
        for row in rows:
            key = f"{pid}/{row.backend}/{row.server}"
            now = [getattr(row, name) for name in FIELDS]
            before = self._seen.get(key, [0] * len(FIELDS))
            if len(before) < len(FIELDS):
                # Of a controller that did not count the last fields: what was before it is not new.
                first = before[0] if len(before) >= OLDEST_FIELDS else now[0]
                self._seen[key] = before = [first, *before[1:], *now[len(before) :]]
            if row.server == BACKEND:
                self._in_flight.setdefault(row.backend, {})[pid] = row.current
                if not leaving:
                    self._latest[row.backend] = row
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
        self._add_up(backend)

    def _add_up(self, backend: str) -> None:
        """Of servers long gone, the sums alone are kept: what scales up and down has a thousand of them in a week."""
        servers = self._totals.get(backend, {})
        living = {key.split("/", 2)[2] for key in self._seen if key.split("/", 2)[1] == backend}
        gone = [name for name in servers if name not in (*living, BACKEND, GONE)]
        for name in gone[: max(0, len(gone) - KEPT_SERVERS)]:
            whole = servers.setdefault(GONE, dict.fromkeys(FIELDS, 0))
            for field, count in servers.pop(name).items():
                whole[field] = whole.get(field, 0) + count
            self.changed = True

    def _add_all_up(self) -> None:
        for backend in self._totals:
            self._add_up(backend)

    def keep_processes(self, pids: Iterable[int]) -> None:
        """Forget the baselines of processes that are gone."""
        living = set(pids)
        known = len(self._seen)
        self._seen = {key: value for key, value in self._seen.items() if int(key.split("/", 1)[0]) in living}
        if len(self._seen) < known:
            self._add_all_up()
        for flights in self._in_flight.values():
            for pid in set(flights) - living:
                del flights[pid]

    def drop_backend(self, backend: str) -> None:
        """The Service is gone; one of the same name begins at 0."""
        if self._totals.pop(backend, None) is not None:
            self.changed = True
        self._in_flight.pop(backend, None)
        self._latest.pop(backend, None)

    def backends(self) -> tuple[str, ...]:
        """Those that have counted anything."""
        return tuple(self._totals)

    def of(self, *backends: str) -> ServiceCounters:
        """The sums of a Service's backends; zeros where nothing was counted yet. Times are those of its slowest.

        A 5xx that the backend counted and no server did is HAProxy's own answer: a request it could not serve.
        Some of the dropped requests it counts as aborted, too, not telling which: the larger of the two is taken, which
        is none only where there is none, and the least that it can be where there are both.
        """
        each = [self._of(backend) for backend in backends]
        per_replica: Sums[str] = Sums()
        by_class: Sums[str] = Sums()
        for counted in each:
            per_replica.update(counted.per_replica)
            by_class.update(counted.by_class)
        return ServiceCounters(
            requests=sum(counted.requests for counted in each),
            failed=sum(counted.failed for counted in each),
            retried=sum(counted.retried for counted in each),
            redispatched=sum(counted.redispatched for counted in each),
            errors_5xx=sum(counted.errors_5xx for counted in each),
            in_flight=sum(counted.in_flight for counted in each),
            per_replica=dict(per_replica),
            queued=sum(counted.queued for counted in each),
            queue_ms=max((counted.queue_ms for counted in each), default=0),
            response_ms=max((counted.response_ms for counted in each), default=0),
            total_ms=max((counted.total_ms for counted in each), default=0),
            connect_ms=max((counted.connect_ms for counted in each), default=0),
            by_class=dict(by_class),
        )

    def by_server(self, places: Mapping[str, Collection[str]]) -> dict[str, int]:
        """The requests that each server was given, summed over the backends that `places` names for it."""
        return {
            server: sum(self._totals.get(backend, {}).get(server, {}).get("requests", 0) for backend in backends)
            for server, backends in places.items()
        }

    def _of(self, backend: str) -> ServiceCounters:
        servers = dict(self._totals.get(backend, {}))
        whole = servers.pop(BACKEND, dict.fromkeys(FIELDS, 0))
        by_servers = sum(totals["errors_5xx"] for totals in servers.values())
        latest = self._latest.get(backend)
        return ServiceCounters(
            requests=whole["requests"],
            failed=max(0, whole["errors_5xx"] - by_servers) + max(whole["aborted"], whole["dropped"]),
            retried=whole["retries"],
            redispatched=whole["redispatches"],
            errors_5xx=by_servers,
            in_flight=sum(self._in_flight.get(backend, {}).values()),
            per_replica={name: totals["requests"] for name, totals in servers.items() if name != GONE},
            queued=latest.queued if latest else 0,
            queue_ms=latest.queue_ms if latest else 0,
            response_ms=latest.response_ms if latest else 0,
            total_ms=latest.total_ms if latest else 0,
            connect_ms=latest.connect_ms if latest else 0,
            by_class=_classes(whole, http=latest is not None and latest.http),
        )

    def to_json(self) -> str:
        """Totals and baselines, so that a later controller goes on counting the same HAProxy."""
        first = {key: counts[:OLDEST_FIELDS] for key, counts in self._seen.items()}
        # Apart from those, so that a version that counts less can go on counting them.
        more = {key: counts[OLDEST_FIELDS:] for key, counts in self._seen.items()}
        return json.dumps({"totals": self._totals, "seen": first, "more": more})

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
        more = raw.get("more", {})
        counters._seen = {key: [*counts, *more.get(key, ())] for key, counts in raw["seen"].items()}
        counters._add_all_up()
        return counters


def _classes(whole: Mapping[str, int], *, http: bool) -> dict[str, int]:
    """Answers by class, the balancer's own among them; none of a port that is served by the connection."""
    found = {name: whole[f"answers_{name}"] for name in CLASSES} | {"5xx": whole["errors_5xx"]}
    if not (http or any(found.values())):
        return {}
    # Of a version that did not count classes; they were answered, all but those that were dropped.
    before = whole["requests"] - whole["dropped"] - sum(found.values())
    if before > 0:
        found[UNKNOWN] = before
    return found if any(found.values()) else {}

"""What HAProxy says of itself: ``show info``, ``show stat`` and the master's ``show proc``, parsed.

Columns by name, as HAProxy's management guide lists them (9.1, CSV format).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

BACKEND = "BACKEND"
FRONTEND = "FRONTEND"
COLUMNS = (
    "pxname", "svname", "qcur", "scur", "stot", "econ", "wretr", "wredis", "status", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx",
    "hrsp_4xx", "hrsp_5xx", "req_tot", "srv_abrt", "qtime", "ctime", "rtime", "ttime", "addr", "mode",
    "h2_open_connections",
)  # fmt: skip
"""Those that are looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of ``show stat``: a server, or the whole backend where `server` is ``BACKEND``.

    `dropped`, of a backend, are requests that got no answer at all: HAProxy closes the client's connection without one
    where the server's, which had served before, breaks. It counts them in none of its own columns for certain.
    Of a port that is served by the connection, requests are connections, and aborted also those that reached no server.
    Times are milliseconds, means over the last 1024. Answers are counted by the first digit of their status.
    """

    backend: str
    server: str
    status: str
    address: str
    current: int
    queued: int
    requests: int
    retries: int
    redispatches: int
    errors_5xx: int
    aborted: int
    dropped: int = 0
    queue_ms: int = 0
    response_ms: int = 0
    total_ms: int = 0
    connect_ms: int = 0
    answers_1xx: int = 0
    answers_2xx: int = 0
    answers_3xx: int = 0
    answers_4xx: int = 0
    http: bool = False

    @property
    def up(self) -> bool:
        """Whether it is given requests; a server without a health check says so instead of UP."""
        return self.status.startswith(("UP", "no check"))

    @property
    def in_maintenance(self) -> bool:
        """Whether it was taken out on purpose."""
        return self.status.startswith("MAINT")

    @property
    def idle(self) -> bool:
        """No request in flight or queued."""
        return self.current == 0 and self.queued == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Info:
    """Which process answers, and what it was loaded with."""

    pid: int
    description: str


def parse_info(text: str) -> Info:
    """``show info``."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return Info(pid=int(fields.get("Pid", "0")), description=fields.get("description", ""))


def parse_stat(text: str) -> tuple[Row, ...]:
    """``show stat``: the rows of servers and backends, none of frontends."""
    return tuple(_row(record) for record in _records(text) if record["svname"] != FRONTEND)


def parse_clients(text: str) -> int:
    """``show stat``: the connections of clients that a process still holds."""
    return sum(int(record.get("scur") or 0) for record in _records(text) if record.get("svname") == FRONTEND)


def parse_may_ask(stat: str, sessions: str) -> bool:
    """``show stat`` and ``show sess`` of a process that is leaving: whether a client of it may begin another request.
    One that has a tunnel, such as a websocket or a connection of TCP, cannot: nothing is analysed there any more. One
    that rests between two requests may, and so may one whose answer had begun before, as a download has, for it was not
    told that the connection ends; one that speaks HTTP/2 may whenever it likes."""
    records = [record for record in _records(stat) if record.get("svname") == FRONTEND]
    if any(int(record.get("h2_open_connections") or 0) for record in records):
        return True
    tunnels = sum(
        re.findall(r" an=(\w+)h", line.replace(",", " ")) == ["00", "00"]
        for line in sessions.splitlines()
        if " fe=" in line and " fe=GLOBAL " not in line
    )
    return sum(int(record.get("scur") or 0) for record in records) > tunnels


def parse_failed_reloads(text: str) -> int:
    """``show proc``: how many reloads in a row have failed."""
    found = re.search(r"\[failed: (\d+)\]", text)
    return int(found[1]) if found else 0


def parse_leaving(text: str) -> tuple[int, ...]:
    """``show proc``: the processes of earlier configurations that still finish what they began."""
    _, _, rest = text.partition("# old workers")
    section, _, _ = rest.partition("# programs")
    return tuple(int(line.split()[0]) for line in section.splitlines() if line.strip())


def _records(text: str) -> Iterator[dict[str, str]]:
    """The lines by the names of the columns, of a hundred the few that are looked at: this is read all the time."""
    lines = csv.reader(text.removeprefix("# ").splitlines())
    heads = next(lines, [])
    columns = [(name, heads.index(name)) for name in COLUMNS if name in heads]
    for line in lines:
        if len(line) >= len(heads) - 1:
            yield {name: line[at] for name, at in columns}


def _row(record: dict[str, str]) -> Row:
    def number(name: str) -> int:
        return int(record.get(name) or 0)

    # req_tot counts answers. In a backend stot counts each request once, from its beginning; in a server it counts
    # tries, several for a request that was tried again.
    answered = requests = number("req_tot")
    lost = 0
    if record.get("mode") == "tcp":
        answered = requests = number("stot")
        lost = number("econ") if record["svname"] == BACKEND else 0
    elif record["svname"] == BACKEND:
        requests = max(answered, number("stot") - number("scur"))
    return Row(
        backend=record["pxname"],
        server=record["svname"],
        status=record.get("status", ""),
        address=record.get("addr", ""),
        current=number("scur"),
        queued=number("qcur"),
        requests=requests,
        retries=number("wretr"),
        redispatches=number("wredis"),
        errors_5xx=number("hrsp_5xx"),
        aborted=number("srv_abrt") + lost,
        dropped=requests - answered,
        queue_ms=number("qtime"),
        response_ms=number("rtime"),
        total_ms=number("ttime"),
        connect_ms=number("ctime"),
        answers_1xx=number("hrsp_1xx"),
        answers_2xx=number("hrsp_2xx"),
        answers_3xx=number("hrsp_3xx"),
        answers_4xx=number("hrsp_4xx"),
        http=record.get("mode") == "http",
    )

"""How evenly requests are spread, and what the balancer costs beside a hand-written HAProxy configuration.

The peers are the same HAProxy on the same replicas, with configurations as one would write them by hand: for one
application and no more; with requests tried again where that is safe, as ours are; and for several, by host.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figure import Figure
from benchmarks.fleet import Fleet, manifest
from benchmarks.processor import processor_seconds
from benchmarks.wrk import Wrk, WrkRun
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import parse_info
from tests.ports import unused_port

SCALE, SPREAD, CONNECTIONS = 3, 30_000, 6
ROUNDS, SECONDS, CLIENTS = 12, 2, 16
PEER = """\
global
    nbthread 1

defaults
    mode http
    balance roundrobin
    option forwardfor
    timeout connect 2s
    timeout client 60s
    timeout server 60s
{defaults}
frontend web
    bind 127.0.0.1:{port}
{rules}
backend web
{retries}{servers}"""
RETRIES = {
    "defaults": "    retries 3\n    option redispatch 1\n    retry-on conn-failure empty-response\n",
    "retries": "    http-request disable-l7-retry if { method POST PATCH CONNECT }\n",
}
MANNERS = {
    "for one application": {"defaults": "", "rules": "    default_backend web\n", "retries": ""},
    "for one, with retries": {**RETRIES, "rules": "    default_backend web\n"},
    "by host, with retries": {**RETRIES, "rules": "    use_backend web if { hdr(host) -i even.localhost }\n"},
}
"""What each of them says more is a promise more, and what it costs: that no GET is lost with its replica, and that
other hosts lead elsewhere. What is left is what ours does more than the last."""


def balancing_figures(fleet: Fleet) -> list[Figure]:
    """Both."""
    fleet.apply(manifest("even", fleet.answers, SCALE))
    fleet.answering("even", SCALE)
    try:
        return [_spread(fleet), *_throughput(fleet)]
    finally:
        fleet.delete("even")


def _spread(fleet: Fleet) -> Figure:
    """Who answers each of many requests over keep-alive connections."""
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def ask() -> None:
        mine: Counter[str] = Counter()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", fleet.forge.http_port, timeout=30)) as asked:
            for _ in range(SPREAD // CONNECTIONS):
                asked.request("GET", "/", headers={"Host": "even.localhost"})
                mine[asked.getresponse().read().decode()] += 1
        with lock:
            seen.update(mine)

    threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figure(
        name="most less least that a replica of 3 got",
        value=f"{max(seen.values()) - min(seen.values())} ({', '.join(f'{count:,}' for count in seen.values())})",
        of=f"{SPREAD:,} requests over {CONNECTIONS} keep-alive connections",
    )


def _throughput(fleet: Fleet) -> list[Figure]:
    with fleet.balancer() as servers:
        addresses = [row.address for row in servers("even") if row.up]
    return [_against(fleet, addresses, manner) for manner in MANNERS]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Side:
    """A HAProxy: where it listens, and which process it is."""

    port: int
    pid: int

    def run(self) -> tuple[WrkRun, float]:
        """What wrk saw, and the processor's microseconds that HAProxy took for a request: of the two what says more on
        a machine where others work too."""
        before = processor_seconds([self.pid])
        run = Wrk(self.port, "even.localhost", connections=CLIENTS, seconds=SECONDS).result()
        return run, (processor_seconds([self.pid]) - before) / run.requests * 1e6


def _against(fleet: Fleet, addresses: list[str], manner: str) -> Figure:
    pid = parse_info(CommandSocket(fleet.home.balancer_socket).ask("show info")).pid
    ours: list[tuple[WrkRun, float]] = []
    theirs: list[tuple[WrkRun, float]] = []
    with _peer(fleet, addresses, manner) as peer:
        sides = [(_Side(port=fleet.forge.http_port, pid=pid), ours), (peer, theirs)]
        for _ in range(ROUNDS + 1):
            for side, runs in sides:
                runs.append(side.run())
            # Who is first in a pair changes: what the one leaves warm is not always the other's.
            sides.reverse()
    pairs = list(zip(ours, theirs, strict=True))[1:]
    rate = statistics.median(mine.per_second / other.per_second for (mine, _), (other, _) in pairs)
    tail = statistics.median(mine.p99_ms / other.p99_ms for (mine, _), (other, _) in pairs)
    spent = statistics.median(mine / other for (_, mine), (_, other) in pairs)
    failed = sum(run.failed for run, _ in ours)
    return Figure(
        name=f"all that it can, against a hand-written HAProxy {manner}",
        value=f"{_rates(ours)}, {_rates(theirs)}: rate x {rate:.2f}, p99 x {tail:.2f}, "
        f"processor a request x {spent:.2f}, {failed} failed",
        of=f"{ROUNDS} pairs of {SECONDS} s, wrk with {CLIENTS} connections",
    )


def _rates(runs: list[tuple[WrkRun, float]]) -> str:
    return (
        f"{statistics.median(run.per_second for run, _ in runs):,.0f} a second "
        f"(p99 {statistics.median(run.p99_ms for run, _ in runs):.1f} ms, "
        f"{statistics.median(spent for _, spent in runs):.1f} us a request)"
    )


@contextlib.contextmanager
def _peer(fleet: Fleet, addresses: list[str], manner: str) -> Iterator[_Side]:
    """A second HAProxy for as long as the block lasts."""
    port, file = unused_port(), fleet.folder / "peer.cfg"
    servers = "".join(f"    server s{number} {address}\n" for number, address in enumerate(addresses))
    file.write_text(PEER.format(port=port, servers=servers, **MANNERS[manner]))
    with subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(file)]) as process:
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.poll() is None, "the peer does not start"
                time.sleep(0.05)
            yield _Side(port=port, pid=process.pid)
        finally:
            process.terminate()

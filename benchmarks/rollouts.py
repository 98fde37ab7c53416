"""Starting, changing, scaling and losing replicas, from the command to the answer through the balancer.

Peers: `docker-compose` (Debian's package) and a bare `docker run` of the same image on the same engine.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import statistics
import subprocess
import time

from benchmarks.answer import await_answer
from benchmarks.figure import Figure
from benchmarks.fleet import Fleet, client_of, manifest, service_manifest
from benchmarks.pairs import Pair, measure
from benchmarks.wrk import Wrk
from tests.clients import Clients

ROUNDS, SCALE, MANY = 5, 3, 30
SETTLE_SECONDS = 10
KILLS, REQUESTS = 9, 2000
UPDATES, SCALINGS, SERVICES = 20, 10, 10
LEAST_REQUESTS = 20_000


def rollout_figures(fleet: Fleet) -> tuple[list[Figure], list[Pair]]:
    """Everything of this page."""
    return [*_start_and_update(fleet), *_kills(fleet), *_unlost(fleet)], _many(fleet)


def _start_and_update(fleet: Fleet) -> list[Figure]:
    starts, updates = [], []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        fleet.apply(manifest("begun", fleet.answers, SCALE))
        fleet.answering("begun", SCALE)
        starts.append(time.perf_counter() - began)
        fleet.until("begun", lambda status: status.phase == "complete")
        began = time.perf_counter()
        fleet.apply(manifest("begun", fleet.answers, SCALE, version="2"))
        fleet.until("begun", lambda status: status.phase == "complete" and len(status.replica_list) == SCALE)
        updates.append(time.perf_counter() - began)
        fleet.answering("begun", SCALE, "2")
        fleet.delete("begun")
    return [
        Figure(name="apply of 3 replicas, until all answer", value=_median(starts[1:]), of=f"{ROUNDS} runs"),
        Figure(
            name="a rolling update of 3, until the last old one is gone",
            value=_median(updates[1:]),
            of=f"{ROUNDS} runs",
        ),
    ]


def _median(values: list[float]) -> str:
    return f"p50 {statistics.median(values):.2f} s, slowest {max(values):.2f} s"


def _many(fleet: Fleet) -> list[Pair]:
    """From 1 to 30, against the peer's own command to do so, which waits for no answer."""
    folder = fleet.folder / "compose"
    folder.mkdir()
    (folder / "docker-compose.yml").write_text(
        f'version: "3"\nservices:\n  web:\n    image: "{fleet.answers}"\n    environment: {{VERSION: "1"}}\n'
    )

    def compose(*arguments: str) -> None:
        environ = {**os.environ, "DOCKER_HOST": fleet.forge.engine}
        command = ["docker-compose", "-p", "peer", *arguments]
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)

    def one() -> None:
        compose("up", "-d", "--timeout", "1", "--scale", "web=1")
        fleet.apply(manifest("many", fleet.answers, 1))
        fleet.until("many", lambda status: status.phase == "complete" and len(status.replica_list) == 1)
        # The kernel takes the network namespaces of those that went apart for seconds after, on both processors.
        time.sleep(SETTLE_SECONDS)

    def ours() -> None:
        fleet.apply(manifest("many", fleet.answers, MANY))
        # Asked seldom: thirty requests again and again would take a processor from what is measured.
        fleet.answering("many", MANY, every=0.1)

    def theirs() -> None:
        compose("up", "-d", "--scale", f"web={MANY}")

    try:
        what, peer = f"1 to {MANY} replicas, all answering", "docker-compose up --scale, started"
        return [measure(what, peer, ours, theirs, rounds=3, before=one)]
    finally:
        compose("down", "--timeout", "1")
        fleet.delete("many")


def _kills(fleet: Fleet) -> list[Figure]:
    """kill -9 of a replica's first process under load, and a bare start of the same image, in turn."""
    fleet.apply(manifest("killed", fleet.answers, SCALE))
    fleet.answering("killed", SCALE)
    out, whole, bare, again = [], [], [], []
    kinds = {"keep-alive": (8, 200.0)}
    with Clients(fleet.forge.http_port, "killed.localhost", kinds) as clients:
        while len(whole) < KILLS or clients.tally.total < REQUESTS:
            # Each of them once, then others: who dies again soon waits for its back-off, as in Kubernetes.
            if not len(whole) % SCALE:
                fleet.apply(manifest("killed", fleet.answers, SCALE, version=f"{2 + len(whole)}"))
                fleet.until("killed", lambda status: status.phase == "complete" and status.current == SCALE)
            gone, full = _kill(fleet)
            out.append(gone)
            whole.append(full)
            bare.append(_bare_run(fleet))
            again.append(_bare_run_after_a_kill(fleet))
    fleet.delete("killed")
    tally = clients.tally
    ratio, same = (
        statistics.median(ours / theirs for ours, theirs in zip(whole, others, strict=True)) for others in (bare, again)
    )
    return [
        Figure(
            name="kill -9 of a replica, until it is out of the balancer",
            value=f"p50 {statistics.median(out) * 1000:.0f} ms, slowest {max(out) * 1000:.0f} ms",
            of=f"{len(out)} kills",
        ),
        Figure(
            name="until 3 serve again, against a bare docker run to its first answer",
            value=f"p50 {statistics.median(whole):.2f} s, {statistics.median(bare):.2f} s; ratio {ratio:.2f}",
            of=f"{len(out)} pairs",
        ),
        Figure(
            name="the same, against kill -9 of a bare container and such a run after it",
            value=f"p50 {statistics.median(again):.2f} s; ratio {same:.2f}",
            of=f"{len(out)} pairs: the engine takes what has ended apart before it starts another",
        ),
        Figure(name="GETs meanwhile, at 200 a second", value=str(tally), of="8 connections"),
    ]


def _kill(fleet: Fleet) -> tuple[float, float]:
    """Seconds until the balancer gives a killed replica nothing, and until as many as before are given requests."""
    status = fleet.until("killed", lambda status: status.ready == status.current == len(status.replica_list) == SCALE)
    victim = min(status.replica_list, key=lambda replica: replica.restarts)
    with contextlib.closing(client_of(fleet)) as engine, fleet.balancer() as servers:
        pid = engine.inspect_container(victim.container_id)["State"]["Pid"]
        watched = os.pidfd_open(pid)
        names = {row.server for row in servers("killed") if row.up and row.address.startswith(f"{victim.address}:")}
        assert len(names) == 1, (victim, servers("killed"))
        began = time.perf_counter()
        signal.pidfd_send_signal(watched, signal.SIGKILL)
        select.select([watched], [], [], 10)
        os.close(watched)
        gone = None
        while True:
            rows = [row for row in servers("killed") if row.up]
            if gone is None and not any(row.server in names for row in rows):
                gone = time.perf_counter() - began
            if gone is not None and len(rows) == SCALE:
                return gone, time.perf_counter() - began
            time.sleep(0.002)


def _bare_run(fleet: Fleet) -> float:
    """Seconds from `docker run` to the container's first answer."""
    began = time.perf_counter()
    container = fleet.docker("run", "--detach", fleet.answers)
    address = fleet.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container)
    try:
        await_answer(address, 8080)
        return time.perf_counter() - began
    finally:
        fleet.docker("rm", "--force", container)


def _bare_run_after_a_kill(fleet: Fleet) -> float:
    """Seconds from kill -9 of a container's first process to the first answer of another one: what whoever replaces
    what died has to wait for at least."""
    container = fleet.docker("run", "--detach", fleet.answers)
    pid = int(fleet.docker("inspect", "--format", "{{.State.Pid}}", container))
    time.sleep(1)
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    # As soon as the engine says so, as ours is told.
    fleet.docker("wait", container)
    waited = time.perf_counter() - began
    try:
        return waited + _bare_run(fleet)
    finally:
        fleet.docker("rm", "--force", container)


def _unlost(fleet: Fleet) -> list[Figure]:
    """Rolling updates, scalings and new Services, one after another, under clients of every kind, wrk beside them."""

    def text(version: int, replicas: int) -> str:
        return manifest("steady", fleet.mixed, replicas, version=str(version))

    def settled(replicas: int) -> None:
        fleet.until("steady", lambda status: status.phase == "complete" and status.current == replicas)

    fleet.apply(text(0, SCALE))
    settled(SCALE)
    fleet.answering("steady", SCALE)
    began, version = time.perf_counter(), 0
    with Clients(fleet.forge.http_port, "steady.localhost") as clients:
        beside = Wrk(fleet.forge.http_port, "steady.localhost", connections=4, seconds=900, pause=80)
        for version in range(1, UPDATES + 1):
            fleet.apply(text(version, SCALE))
            settled(SCALE)
        for _ in range(SCALINGS):
            for replicas in (5, 2, SCALE):
                fleet.apply(text(version, replicas))
                settled(replicas)
        for number in range(SERVICES):
            fleet.apply(service_manifest(f"added-{number}", "steady"))
            fleet.answering(f"added-{number}", SCALE)
        while clients.tally.total < LEAST_REQUESTS:
            time.sleep(0.1)
    seconds = time.perf_counter() - began
    wrk, tally = beside.stop(), clients.tally
    fleet.delete("steady")
    fleet.forge.ok("delete", *(f"service/added-{number}" for number in range(SERVICES)), "--yes")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in tally.sent.items())
    return [
        Figure(
            name=f"{UPDATES} rolling updates, {SCALINGS} scalings 3-5-2-3, {SERVICES} Services added",
            value=str(tally),
            of=f"{tally.total / seconds:.0f} a second over {seconds:.0f} s: {kinds}",
        ),
        Figure(name="wrk beside it", value=f"{wrk.failed} failed of {wrk.requests:,}", of="4 keep-alive connections"),
    ]

"""The service as its users see it: accepting, answering, following, pushing; on a stack of its own.

The peer is the shell script beside this file: the same steps with the tools themselves.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import selectors
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.answer import await_answer
from benchmarks.figure import Figure, percentile
from benchmarks.pairs import Pair, measure
from builders import engine_facts, find_build_client, find_engine
from imageforge.store import Builds, Database
from imageforge.webhooks import Provider, sample
from tests.e2e.conftest import Forge
from tests.e2e.service import DOCKERFILE, Repository, Service, write_app

PEER = Path(__file__).with_name("peer.sh")
ACCEPTS, SAME, READERS, PUSHES = 40, 15, 200, 7
PER_SECOND, DELIVERIES = 100, 1000
CHATTY = DOCKERFILE.replace("USER", "RUN for i in $(seq 3000); do echo line $i; done; sleep 3\nUSER")


def service_figures() -> tuple[list[Figure], list[Pair]]:
    """Everything, on a stack that is made and removed."""
    with _stack() as (service, folder):
        write_app(folder / "app")
        first = service.upload("same", folder / "app").json()["build"]
        service.ended(first)
        figures = [_accepts(service, folder), _unchanged(service, folder)]
        figures += _webhooks(service, folder)
        figures.append(_readers(service, folder))
        pair, floor = _push(service, folder)
        return [*figures, floor], [pair]


def _accepts(service: Service, folder: Path) -> Figure:
    """From the answer that a build is accepted until its worker has begun."""
    waits = []
    for _ in range(ACCEPTS):
        build = service.upload("same", folder / "app").json()["build"]
        ended = service.ended(build)
        waits.append((ended["started_at"] - ended["created_at"]) * 1000)
    value = f"p50 {percentile(waits, 0.5):.0f} ms, p99 {percentile(waits, 0.99):.0f} ms"
    return Figure(name="accepted to begun", value=value, of=f"{ACCEPTS} uploads, one after another")


def _unchanged(service: Service, folder: Path) -> Figure:
    """An upload of the same tree, from the first byte sent to the end of its events."""
    taken = []
    for _ in range(SAME):
        began = time.perf_counter()
        ended = service.ended(service.upload("same", folder / "app").json()["build"])
        taken.append(time.perf_counter() - began)
        assert ended["reused_from"], ended
    return Figure(
        name="an unchanged tree, answered", value=f"p50 {statistics.median(taken) * 1000:.0f} ms", of=f"{SAME} uploads"
    )


def _webhooks(service: Service, folder: Path) -> list[Figure]:
    """Signed pushes at a fixed rate, whether or not earlier ones are answered: what a slow answer delays is counted."""
    repository = Repository(folder / "hooked")
    write_app(repository.folder)
    commit = repository.commit("first")
    remote = f"http://x:{service.token}@127.0.0.1:{service.forge.api_port}/git/hooked.git"
    repository.git("push", remote, "main")
    url = f"http://127.0.0.1:{service.forge.api_port}/git/hooked.git"
    service.ask("PATCH", "/v1/apps/hooked", json={"git_url": url})
    service.ask("PUT", "/v1/apps/hooked/source/token", json={"value": service.token})
    secret = service.ask("GET", "/v1/apps/hooked/webhook").json()["secret"]
    made = partial(_delivery, secret, url, commit)
    figures = []
    for how, signals in (("alone", (signal.SIGSTOP, signal.SIGCONT)), ("beside builds", (0, 0))):
        # The answer alone, while the queue takes what comes and nobody builds; and beside all that this machine does.
        requests = [made() for _ in range(DELIVERIES)]
        for worker in _processes(service.forge.home, b"imageforge.queue"):
            os.kill(worker, signals[0])
        try:
            figures += _deliver(service, folder, requests, how, accepted := [])
        finally:
            for worker in _processes(service.forge.home, b"imageforge.queue"):
                os.kill(worker, signals[1])
        figures.append(_accounted(service, accepted))
    return figures


def _deliver(
    service: Service, folder: Path, requests: list[tuple[dict[str, str], bytes]], how: str, accepted: list[int]
) -> list[Figure]:
    taken: list[float] = []
    lock = threading.Lock()
    begin = time.perf_counter() + 0.5

    def send(first: int, step: int) -> None:
        # The forge is elsewhere in truth: a client that takes as little of this machine as can be.
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", service.forge.api_port, timeout=60)) as client:
            for number in range(first, DELIVERIES, step):
                due = begin + number / PER_SECOND
                time.sleep(max(0.0, due - time.perf_counter()))
                headers, body = requests[number]
                client.request("POST", "/v1/webhooks/hooked", body=body, headers=headers)
                answer = client.getresponse()
                content = answer.read()
                with lock:
                    taken.append((time.perf_counter() - due) * 1000)
                    if answer.status == 202:
                        accepted.append(json.loads(content)["build"])

    threads = [threading.Thread(target=send, args=(first, 8)) for first in range(8)]
    spent = _cpu_seconds(service.forge.home)
    for thread in threads:
        thread.start()
    commits = _commits(folder / "floor.sqlite", threads)
    for thread in threads:
        thread.join()
    each = (_cpu_seconds(service.forge.home) - spent) / DELIVERIES * 1000
    load = os.getloadavg()[0]
    value = f"p50 {percentile(taken, 0.5):.0f} ms, p99 {percentile(taken, 0.99):.0f} ms"
    return [
        Figure(name=f"a webhook, answered {how}", value=value, of=f"{DELIVERIES} at {PER_SECOND} a second"),
        Figure(
            name="a bare commit of SQLite meanwhile",
            value=f"p50 {percentile(commits, 0.5):.0f} ms, p99 {percentile(commits, 0.99):.0f} ms",
            of=f"a file of its own on the same disk; load {load:.1f}, {each:.1f} ms of the API's processor a delivery",
        ),
    ]


def _accounted(service: Service, accepted: list[int]) -> Figure:
    with Database.at(service.forge.home / "state" / "store.sqlite") as database:
        deadline = time.monotonic() + 180
        while any(not build.status.ended for build in Builds(database).latest(limit=5)) and time.monotonic() < deadline:
            time.sleep(0.2)
        rows = [found for build in accepted if (found := Builds(database).find(build))]
    ended = sum(row.status.ended for row in rows)
    return Figure(
        name="webhooks accounted for",
        value=f"{ended} ended of {len(rows)} kept of {len(accepted)} accepted of {DELIVERIES} sent",
        of="one branch",
    )


def _commits(file: Path, threads: list[threading.Thread]) -> list[float]:
    """How long one row takes to the disk, in ms, asked every 20 ms while the threads live: no answer that promises as
    much can be faster."""
    taken = []
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS kept (text)")
        while any(thread.is_alive() for thread in threads):
            began = time.perf_counter()
            connection.execute("INSERT INTO kept VALUES (?)", ("x" * 500,))
            taken.append((time.perf_counter() - began) * 1000)
            time.sleep(0.02)
    return taken


def _delivery(secret: str, url: str, commit: str) -> tuple[dict[str, str], bytes]:
    made = sample(
        Provider.GITHUB,
        secret=secret,
        repository="acme/hooked",
        clone_url=url,
        branch="main",
        before="1" * 40,
        after=commit,
        delivery_id=secrets.token_hex(16),
        now=time.time(),
    )
    return made.headers, made.body


def _readers(service: Service, folder: Path) -> Figure:
    """A chatty build with nobody looking, and with two hundred looking, in turn."""
    write_app(folder / "chatty", dockerfile=CHATTY)

    def run(readers: int) -> tuple[float, float]:
        build = service.upload("chatty", folder / "chatty", no_cache=True, deploy=False).json()["build"]
        spent = _cpu_seconds(service.forge.home)
        thread = threading.Thread(target=_read, args=(service, build, readers))
        thread.start()
        ended = service.wait(build, "succeeded", seconds=120)
        thread.join()
        took = float(ended["finished_at"]) - float(ended["started_at"])
        return took, _cpu_seconds(service.forge.home) - spent

    run(0)
    pairs = [(run(READERS), run(0)) for _ in range(5)]
    ratio = statistics.median(with_them[0] / without[0] for with_them, without in pairs)
    more = statistics.median(with_them[1] - without[1] for with_them, without in pairs)
    return Figure(
        name=f"a build that {READERS} readers follow",
        value=f"{(ratio - 1) * 100:+.1f} % time, {more:+.2f} s of the API's processor",
        of=f"5 pairs, {statistics.median(pair[1][0] for pair in pairs):.1f} s without, load {os.getloadavg()[0]:.1f}",
    )


def _read(service: Service, build: int, readers: int) -> None:
    """Follow a build that many times. The readers are elsewhere in truth: two hundred threads of a client that parses
    would take more of this machine's processors from the build than the service does, so that the bytes are only
    taken, by one thread."""
    request = (
        f"GET /v1/builds/{build}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {service.token}\r\nConnection: close\r\n\r\n"
    ).encode()
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:
        for _ in range(readers):
            reader = opened.enter_context(socket.create_connection(("127.0.0.1", service.forge.api_port)))
            reader.sendall(request)
            selector.register(reader, selectors.EVENT_READ, _Tail())
        while selector.get_map():
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                piece = key.fileobj.recv(1 << 18)
                if piece:
                    key.data.end = (key.data.end + piece)[-4096:]
                    continue
                assert b"event: end" in key.data.end, "a reader was left before the end"
                selector.unregister(key.fileobj)


class _Tail:
    """The last bytes that a reader got."""

    end = b""


def _cpu_seconds(home: Path) -> float:
    """What the API of a home has had of the processors."""
    (api,) = _processes(home, b"imageforge.api")
    fields = Path(f"/proc/{api}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _processes(home: Path, module: bytes) -> list[int]:
    """The processes of a home that run a module."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdecimal() else []
            if module in words and str(home).encode() in words:
                found.append(int(folder.name))
    assert found, f"no process runs {module.decode()}"
    return found


def _push(service: Service, folder: Path) -> tuple[Pair, Figure]:
    """A one-line change, from `git push` to the first answer of the new version, against the script; and how much of
    either is the engine's."""
    endpoint = find_engine(private_socket=None)
    client = find_build_client(endpoint, engine_facts(endpoint))
    repository = Repository(folder / "pushed")
    remote = f"http://x:{service.token}@127.0.0.1:{service.forge.api_port}/git/pushed.git"
    docker, count = str(client.path), 0
    environ = {
        **os.environ,
        "DOCKER_HOST": endpoint.host,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def change() -> str:
        nonlocal count
        count += 1
        write_app(repository.folder, f"version-{count}-{secrets.token_hex(4)}")
        return repository.commit(f"change {count}")

    def ours() -> None:
        change()
        version = (repository.folder / "version.txt").read_text()
        with subprocess.Popen(
            ["git", "push", "--quiet", remote, "main"], cwd=repository.folder, stderr=subprocess.DEVNULL
        ) as push:
            while version not in _answer(service):
                assert push.poll() in (None, 0), "the push failed"
                time.sleep(0.02)
            answered.append(time.perf_counter())

    answered: list[float] = []
    commit = ""

    def theirs() -> None:
        nonlocal commit
        commit = change()
        registry = f"127.0.0.1:{service.forge.registry_port}"
        command = [str(PEER), str(repository.folder), commit, registry, str(count), docker]
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)

    try:
        pair = measure("git push to first answer", "script: clone, lint, build, push, run", ours, theirs, rounds=PUSHES)
        image = f"127.0.0.1:{service.forge.registry_port}/peer:{commit}"
        starts = [_bare_start(docker, image, environ) for _ in range(PUSHES)]
        builds = []
        for _ in range(PUSHES):
            change()
            command = [docker, "build", "--quiet", "--tag", image, str(repository.folder)]
            began = time.perf_counter()
            subprocess.run(command, env={**environ, "DOCKER_BUILDKIT": "1"}, check=True, stdout=subprocess.DEVNULL)
            builds.append(time.perf_counter() - began)
        start, build = statistics.median(starts), statistics.median(builds)
        floor = Figure(
            name="a bare build, and a bare create and start to first answer",
            value=f"p50 {build * 1000:.0f} + {start * 1000:.0f} ms, {(build + start) / pair.theirs:.2f} of the script",
            of=f"{PUSHES} of each, for the same change: of a push, what nobody can do faster",
        )
        return pair, floor
    finally:
        for number in (count - 1, count):
            command = [docker, "rm", "--force", f"peer-{number}"]
            subprocess.run(command, env=environ, capture_output=True, check=False)


def _bare_start(docker: str, image: str, environ: dict[str, str]) -> float:
    """Seconds from `docker create` to the container's first answer. It is removed afterwards."""

    def ask(*arguments: str) -> str:
        return subprocess.run([docker, *arguments], env=environ, check=True, capture_output=True, text=True).stdout

    began = time.perf_counter()
    container = ask("create", "--env", "PORT=8080", image).strip()
    try:
        ask("start", container)
        address = ask("inspect", "--format", "{{.NetworkSettings.IPAddress}}", container).strip()
        await_answer(address, 8080)
        return time.perf_counter() - began
    finally:
        ask("rm", "--force", container)


def _answer(service: Service) -> str:
    try:
        return service.forge.get("pushed")[1]
    except OSError:
        return ""


@contextlib.contextmanager
def _stack() -> Iterator[tuple[Service, Path]]:
    endpoint = find_engine(private_socket=None)
    with tempfile.TemporaryDirectory(prefix="ifg-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        forge = Forge(folder / "home", endpoint.host)
        try:
            forge.ok("base", "create", "python:3.11")
            forge.ok("up", IMAGEFORGE_KEEP_BUILDS="5000")
            yield Service(forge), folder
        finally:
            forge.run("down", "--purge", "--yes")

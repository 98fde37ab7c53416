"""kill -9 in the middle: no accepted build is lost, and none has its effects twice."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import httpx
import pytest

from tests.e2e.conftest import Forge, temporary_forge
from tests.e2e.service import DOCKERFILE, Repository, Service, write_app

pytestmark = pytest.mark.engine

VICTIMS = ("worker-1", "build", "redis", "api", "controller", "supervisor")
SLOW = DOCKERFILE.replace("USER", "RUN sleep 2\nUSER")


@pytest.fixture(scope="module")
def service(engine_host: str, docker_client: docker.DockerClient) -> Iterator[Service]:
    for forge in temporary_forge(engine_host, docker_client):
        forge.ok("up")
        yield Service(forge)


def pid_of(forge: Forge, victim: str) -> int | None:
    """The process to kill; that of a build is the one that holds its app's lock."""
    if victim == "build":
        for line in _children(_pid(forge, "worker-1")) + _children(_pid(forge, "worker-2")):
            return line
        return None
    return _pid(forge, victim)


def _pid(forge: Forge, name: str) -> int | None:
    try:
        return int(json.loads((forge.home / "run" / f"{name}.pid").read_text())["pid"])
    except (OSError, ValueError, KeyError):
        return None


def _children(pid: int | None) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def patient(service: Service, build: int, seconds: float = 120) -> dict[str, object]:
    """How a build ends, asked by somebody whose connection may break at any moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = service.build(build)
            if found["status"] not in ("queued", "running"):
                return found
        except (httpx.TransportError, ValueError, KeyError):
            pass
        assert time.monotonic() < deadline, f"build {build} has not ended"
        time.sleep(0.2)


def kill(forge: Forge, victim: str) -> bool:
    pid = pid_of(forge, victim)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def check_once(service: Service, app: str, build: int) -> None:
    """One release of one build, running; nothing half made."""
    releases = [row for row in service.ask("GET", f"/v1/apps/{app}/releases").json() if row["build"] == build]
    assert [row["status"] for row in releases] == ["live"], releases
    numbers = [row["number"] for row in service.events(build) if "number" in row]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_build_survives_the_death_of(service: Service, project: Path, victim: str) -> None:
    forge, app = service.forge, f"survives-{victim}"
    write_app(project, victim, SLOW)
    build = service.upload(app, project, no_cache=True).json()["build"]
    service.until(build, "step", "build")
    assert kill(forge, victim)
    ended = patient(service, build)
    assert ended["status"] == "succeeded", (ended["error"], ended["attempt"])
    if victim == "supervisor":
        forge.ok("up")
    check_once(service, app, build)
    assert forge.get(app)[1].strip() == victim


def test_a_push_does_not_need_who_runs_its_hooks(service: Service, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    write_app(repository.folder, "unhooked")
    repository.commit("first")
    assert kill(service.forge, "hooks")
    remote = f"http://x:{service.token}@127.0.0.1:{service.forge.api_port}/git/unhooked.git"
    pushed = repository.git("push", remote, "main")
    assert "accepted as build" in pushed.stderr
    assert service.forge.get("unhooked")[1].strip() == "unhooked"


def test_pushes_are_taken_while_redis_is_away_and_built_when_it_is_back(service: Service, project: Path) -> None:
    write_app(project, "waited")
    assert kill(service.forge, "redis")
    accepted = service.upload("waited", project)
    assert accepted.status_code == 202, accepted.text
    build = accepted.json()["build"]
    assert patient(service, build)["status"] == "succeeded"
    check_once(service, "waited", build)


def test_down_in_the_middle_hands_the_build_back_and_up_goes_on(service: Service, project: Path) -> None:
    write_app(project, "resumed", DOCKERFILE.replace("USER", "RUN sleep 5\nUSER"))
    build = service.upload("resumed", project, no_cache=True).json()["build"]
    service.until(build, "step", "build")
    service.forge.ok("down")
    service.forge.ok("up")
    ended = patient(service, build)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1)
    check_once(service, "resumed", build)


LATE = DOCKERFILE.replace('CMD ["python3", "/srv/main.py"]', 'CMD ["sh", "-c", "sleep 4; exec python3 /srv/main.py"]')


@pytest.mark.parametrize("victim", ["controller", "workers", "everything"])
def test_a_rollout_is_seen_through_though_in_its_middle_end(service: Service, project: Path, victim: str) -> None:
    forge, app = service.forge, f"rolls-{victim}"
    write_app(project, victim, LATE)
    build = service.upload(app, project).json()["build"]
    service.until(build, "stage-started", "rollout")
    while (found := forge.run("ps", app, "-o", "json")).code or not found.json:
        assert service.build(build)["status"] == "running", found
    if victim == "controller":
        assert kill(forge, victim)
    elif victim == "workers":
        for worker in ("worker-1", "worker-2"):
            os.kill(pid_of(forge, worker) or 0, signal.SIGTERM)
    else:
        forge.ok("down")
        forge.ok("up")
    ended = patient(service, build)
    assert (ended["status"], ended["attempt"]) == ("succeeded", 1), ended["error"]
    check_once(service, app, build)
    assert forge.get(app)[1].strip() == victim


STUCK = DOCKERFILE.replace('CMD ["python3", "/srv/main.py"]', 'CMD ["sleep", "600"]')


@pytest.mark.soak
def test_a_rollout_whose_build_is_cancelled_while_nobody_is_at_it_is_taken_back(
    service: Service, project: Path
) -> None:
    forge, app = service.forge, "taken-back"
    write_app(project, "first")
    first = patient(service, service.upload(app, project).json()["build"])
    assert first["status"] == "succeeded"
    replicas = {row["replica"] for row in forge.replicas(app)}
    write_app(project, "second", STUCK)
    build = service.upload(app, project).json()["build"]
    service.until(build, "stage-started", "rollout")
    while len(forge.replicas(app)) == len(replicas):
        assert service.build(build)["status"] == "running"
    for worker in ("worker-1", "worker-2"):
        kill(forge, worker)
    assert service.ask("POST", f"/v1/builds/{build}/cancel").status_code < 300
    deadline = time.monotonic() + 60
    while [row["status"] for row in service.ask("GET", f"/v1/apps/{app}/releases").json()] != ["failed", "live"]:
        assert time.monotonic() < deadline, service.ask("GET", f"/v1/apps/{app}/releases").json()
        time.sleep(0.2)
    assert service.build(build)["status"] == "cancelled"
    while {row["replica"] for row in forge.replicas(app)} != replicas:
        assert time.monotonic() < deadline, forge.replicas(app)
    assert forge.get(app)[1].strip() == "first"


RELEASE = """\
import signal, socket, struct, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
print("begun", flush=True)
gateway = next(row.split()[2] for row in open("/proc/net/route") if row.split()[1] == "00000000")
host = socket.inet_ntoa(struct.pack("<L", int(gateway, 16)))
while True:
    with socket.create_connection((host, {port}), timeout=30) as asked:
        if asked.recv(2) == b"go":
            break
    time.sleep(0.1)
print("done")
"""


class Gate(socketserver.ThreadingTCPServer):
    """Tells whoever connects whether to go on."""

    daemon_threads = True
    word = b"no"

    def finish_request(self, request: object, _: object) -> None:
        assert isinstance(request, socket.socket)
        request.sendall(self.word)


@pytest.mark.soak
def test_down_in_the_middle_of_a_release_command_runs_it_again(service: Service, project: Path) -> None:
    """Its container is stopped with the others: what has not succeeded may run once more."""
    write_app(project, "again", DOCKERFILE.replace("version.txt", "version.txt release.py"))
    (project / "imageforge.toml").write_text("[app]\nrelease = 'python3 /srv/release.py'\n")
    with Gate(("0.0.0.0", 0), socketserver.BaseRequestHandler) as gate:
        threading.Thread(target=gate.serve_forever, daemon=True).start()
        (project / "release.py").write_text(RELEASE.format(port=gate.server_address[1]))
        build = service.upload("again", project).json()["build"]
        service.until(build, "line", "release")
        service.forge.ok("down")
        gate.word = b"go"
        service.forge.ok("up")
        ended = patient(service, build)
        gate.shutdown()
    assert ended["status"] == "succeeded", ended["error"]
    check_once(service, "again", build)
    lines = [row["text"] for row in service.events(build) if row.get("stage") == "release" and row["kind"] == "line"]
    assert lines == ["begun", "begun", "done"]


def test_a_push_made_while_the_service_was_down_is_built_at_its_start(service: Service, tmp_path: Path) -> None:
    forge = service.forge
    repository = Repository(tmp_path / "repository")
    write_app(repository.folder, "before")
    repository.commit("before")
    forge.ok("apps", "create", "source", "--branch", "never")
    url = f"{service.url}/git/source.git"
    pushed = f"http://x:{service.token}@127.0.0.1:{forge.api_port}/git/source.git"
    repository.git("push", pushed, "main")
    forge.ok("apps", "create", "late", "--git-url", url)
    service.ask("PUT", "/v1/apps/late/source/token", json={"value": service.token}).raise_for_status()
    forge.ok("down")
    (repository.folder / "version.txt").write_text("meanwhile")
    commit = repository.commit("meanwhile")
    bare = forge.home / "state" / "git" / "source.git"
    repository.git("--git-dir", str(bare), "fetch", "--quiet", str(repository.folder), "+main:main")
    forge.ok("up")
    deadline = time.monotonic() + 60
    while not (found := service.ask("GET", "/v1/builds", params={"app": "late"}).json()["builds"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    ended = patient(service, found[0]["id"])
    assert (ended["status"], ended["origin"], ended["revision"]) == ("succeeded", "catch-up", commit)
    assert forge.get("late")[1].strip() == "meanwhile"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_random_deaths_lose_no_build(service: Service, project: Path, tell: Callable[[str], None]) -> None:
    """The long form, for `make soak`: whoever dies whenever, what was accepted is accounted for."""
    seed = int(os.environ.get("SOAK_SEED", "1"))
    chance = random.Random(seed)
    counts: dict[str, int] = {}
    for number in range(50):
        app, victim = f"soak-{number % 5}", chance.choice(VICTIMS)
        write_app(project, f"{number}", SLOW)
        build = service.upload(app, project, no_cache=True).json()["build"]
        time.sleep(chance.uniform(0, 8))
        if kill(service.forge, victim):
            counts[victim] = counts.get(victim, 0) + 1
        if victim == "supervisor":
            service.forge.ok("up")
        ended = patient(service, build, seconds=240)
        assert ended["status"] == "succeeded", (number, victim, ended)
        check_once(service, app, build)
        assert service.forge.get(app)[1].strip() == str(number)
    tell(f"seed {seed}: 50 accepted, 50 succeeded; killed {counts}")

"""Whoever dies whenever, the runtime comes back to what was asked for; by `make soak`, with the loss told.

A home with an engine of its own in a network namespace, an application of a file of Kubernetes, clients of every kind
at 200 requests a second. A new version is rolled out again and again; in the middle of it, or after it, the controller,
the balancer, the engine or a replica is killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from imageforge.config import Home
from runtime import ControllerClient, DeploymentStatus, RuntimeFailure
from tests.clients import Failure
from tests.e2e.conftest import ROOT
from tests.e2e.test_private_engine import InsideForge, inside, owner_of
from tests.e2e.test_survival import pids

__all__ = ["inside"]
pytestmark = [
    pytest.mark.engine,
    pytest.mark.soak,
    pytest.mark.timeout(3000),
    # An engine that dies in the middle of an answer leaves its client's socket behind.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a private engine is for root"),
]

STEPS = int(os.environ.get("SOAK_STEPS", "40"))
VICTIMS = ("controller", "balancer", "engine", "replica", "replica", "nobody")
APP = ROOT / "benchmarks" / "apps" / "mixed"
REPLICAS = 3
FILE = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: chaos}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: chaos}}}}
  template:
    metadata: {{labels: {{app: chaos}}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: web
          image: "{image}"
          env: [{{name: VERSION, value: "{version}"}}]
          ports: [{{containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: chaos, annotations: {{imageforge.io/host: chaos.localhost}}}}
spec:
  selector: {{app: chaos}}
  ports: [{{port: 80, targetPort: 8080}}]
"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Who was killed, and from when to when what failed is put down to it."""

    victim: str
    began: float
    ended: float


def test_what_dies_at_random_comes_back(inside: InsideForge, tmp_path: Path, tell: Callable[[str], None]) -> None:
    seed = int(os.environ.get("SOAK_SEED", "1"))
    chance = random.Random(seed)
    inside.ok("up")
    inside.ok("base", "create", "python:3.11")
    image = inside.ok("--quiet", "build", APP).out.split()[0]
    file = tmp_path / "chaos.yaml"

    def apply(version: int) -> None:
        file.write_text(FILE.format(replicas=REPLICAS, image=image, version=version))
        inside.ok("apply", "-f", file)

    apply(0)
    settled(inside, 0)
    steps = []
    clients = start_clients(inside)
    try:
        for version in range(1, STEPS + 1):
            apply(version)
            time.sleep(chance.uniform(0, 4))
            victim, began = chance.choice(VICTIMS), time.time()
            kill(inside, victim, chance)
            # Whoever died is started again by the supervisor; meanwhile an apply of the same waits for it.
            settled(inside, version)
            steps.append(Step(victim=victim, began=began, ended=time.time()))
    finally:
        clients.terminate()
        out, _ = clients.communicate(timeout=60)
    told = json.loads(out)
    failures = [Failure(**failure) for failure in told["failed"]]
    lost = tell_losses(steps, failures, sum(told["sent"].values()), seed, tell)
    # What is killed while it does not carry requests costs none.
    assert lost["controller"] == lost["nobody"] == lost["before a death"] == 0, lost


def start_clients(inside: InsideForge) -> subprocess.Popen[str]:
    command = [*inside.prefix, sys.executable, "-m", "tests.clients", str(inside.http_port), "chaos.localhost"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill(inside: InsideForge, victim: str, chance: random.Random) -> None:
    """kill -9."""
    if victim == "nobody":
        return
    if victim == "engine":
        os.kill(owner_of(Home(inside.home).engine_socket), signal.SIGKILL)
    elif victim == "replica":
        pid = chance.choice(containers(inside))["State"]["Pid"]
        if pid:
            os.kill(pid, signal.SIGKILL)
    elif victim == "balancer":
        # Its worker, which its master starts again, or the master, which the supervisor does.
        master = pids(inside)["balancer"]
        os.kill(chance.choice([master, *children(master)]), signal.SIGKILL)
    else:
        os.kill(pids(inside)[victim], signal.SIGKILL)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def containers(inside: InsideForge) -> list[dict[str, object]]:
    """The replicas' containers as the engine runs them, whoever made them; not those that ended and are kept for their
    logs."""
    api = docker.APIClient(base_url=f"unix://{Home(inside.home).engine_socket}")
    try:
        found = api.containers(filters={"label": "io.imageforge.replica"})
        return [api.inspect_container(item["Id"]) for item in found]
    finally:
        api.close()


def settled(inside: InsideForge, version: int, seconds: float = 150) -> None:
    """Until exactly as many replicas as asked for run the version, the engine has no container more, and they are what
    answers."""
    client = ControllerClient(Home(inside.home).controller_socket)
    deadline = time.monotonic() + seconds
    status: DeploymentStatus | None = None
    there: list[object] = []
    while True:
        try:
            status = client.deployment("default", "chaos")
            there = [item["Config"]["Env"] for item in containers(inside)]  # type: ignore[index]
            right = [env for env in there if f"VERSION={version}" in env]
            if status.phase == "complete" and status.ready == len(right) == len(there) == REPLICAS:
                said = {inside.get("chaos")[1].split()[1] for _ in range(REPLICAS)}
                if said == {str(version)}:
                    return
        except (RuntimeFailure, docker.errors.DockerException, OSError, IndexError):
            pass  # somebody is dead
        assert time.monotonic() < deadline, "\n".join(
            [
                f"version {version}: {status and (status.phase, status.message, status.replica_list)}",
                f"containers: {there}, answer: {inside.get('chaos')}",
                *(log_of(inside, process) for process in ("supervisor", "controller")),
            ]
        )
        time.sleep(0.1)


def log_of(inside: InsideForge, process: str) -> str:
    return (Home(inside.home).log / f"{process}.log").read_text()[-3000:]


def tell_losses(
    steps: list[Step], failures: list[Failure], sent: int, seed: int, tell: Callable[[str], None]
) -> dict[str, int]:
    """By victim: how often, how many requests failed, how long until all was as asked for."""
    lost = dict.fromkeys((*VICTIMS, "before a death"), 0)
    for failure in failures:
        found = next((step.victim for step in steps if step.began <= failure.at <= step.ended + 1), "before a death")
        lost[found] += 1
    tell(f"seed {seed}: {len(failures)} of {sent:,} requests failed over {len(steps)} steps")
    for victim in dict.fromkeys(VICTIMS):
        took = [step.ended - step.began for step in steps if step.victim == victim]
        if took:
            tell(f"  {victim}: {len(took)} killed, {lost[victim]} failed, whole again after {max(took):.1f} s at most")
    for failure in failures:
        if not any(step.began <= failure.at <= step.ended + 1 for step in steps):
            tell(f"  before a death: {failure}")
    return lost

"""A stack with applications of files of Kubernetes on it, as its users have them: made and removed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker

from builders import find_engine
from imageforge.config import Home
from runtime import ControllerClient, DeploymentStatus
from runtime.balancer.socket import WorkerSession
from runtime.balancer.stats import BACKEND, Row, parse_stat
from tests.e2e.conftest import Forge

APPS = Path(__file__).with_name("apps")
NAMESPACE = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """A forge that is up, and the images of `apps/`: one that is ready at once, and one for clients of every kind."""

    forge: Forge
    folder: Path
    answers: str
    mixed: str

    @property
    def home(self) -> Home:
        return Home(self.forge.home)

    @property
    def controller(self) -> ControllerClient:
        return ControllerClient(self.home.controller_socket)

    def apply(self, text: str, *arguments: str) -> None:
        """By the command line, as a user does."""
        file = self.folder / "manifest.yaml"
        file.write_text(text)
        self.forge.ok("apply", "-f", file, *arguments)

    def delete(self, *names: str) -> None:
        """Deployments and their Services; returns when their replicas are gone."""
        self.forge.ok("delete", *(f"{kind}/{name}" for name in names for kind in ("service", "deployment")), "--yes")
        while any(status.name in names for status in self.controller.deployments(NAMESPACE)):
            time.sleep(0.02)

    def until(self, name: str, reached: Callable[[DeploymentStatus], bool]) -> DeploymentStatus:
        """The first status that is as wanted."""
        for status in self.controller.watch(NAMESPACE, name, timeout=180):
            if status.observed_generation >= status.generation and reached(status):
                return status
        raise AssertionError(f"{name} did not get there")

    def answering(self, name: str, count: int, version: str = "", *, every: float = 0.01) -> None:
        """Returns when so many replicas, and no others, answer through the balancer, of a version where one is
        named; asked again after `every` seconds."""
        host = f"{name}.localhost"
        while True:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.forge.http_port, timeout=15)) as asked:
                seen = []
                for _ in range(count):
                    asked.request("GET", "/", headers={"Host": host})
                    answer = asked.getresponse()
                    seen.append((answer.status, answer.read().decode().split()))
            right = [words for status, words in seen if status == 200 and (not version or words[1:2] == [version])]
            if len({words[0] for words in right}) == count:
                return
            time.sleep(every)

    @contextlib.contextmanager
    def balancer(self) -> Iterator[Callable[[str], tuple[Row, ...]]]:
        """Asks HAProxy for the servers of a Service, over one connection."""
        session = WorkerSession(self.home.balancer_socket)

        def servers(service: str) -> tuple[Row, ...]:
            rows = parse_stat(session.ask("show stat"))
            return tuple(r for r in rows if r.backend.startswith(f"{NAMESPACE}_{service}") and r.server != BACKEND)

        try:
            yield servers
        finally:
            session.close()

    def docker(self, *arguments: str) -> str:
        """Debian's client, which every peer is measured by."""
        environ = {**os.environ, "DOCKER_HOST": self.forge.engine}
        done = subprocess.run(["/usr/bin/docker", *arguments], env=environ, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def pid_of(self, process: str) -> int:
        """A process of the stack."""
        return int(json.loads((self.home.run / f"{process}.pid").read_text())["pid"])


def manifest(
    name: str, image: str, replicas: int, *, version: str = "1", probes: str = "", service: str = "", grace: int = 10
) -> str:
    """A Deployment and the Service that leads to it."""
    return f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: {grace}
      containers:
        - name: {name}
          image: "{image}"
          env: [{{name: VERSION, value: "{version}"}}]
          ports: [{{containerPort: 8080}}]
          {probes}
---
{service or service_manifest(name, name)}"""


def service_manifest(name: str, app: str) -> str:
    """A Service of its own host name that leads to an app's replicas."""
    return f"""\
apiVersion: v1
kind: Service
metadata: {{name: {name}, annotations: {{imageforge.io/host: {name}.localhost}}}}
spec:
  selector: {{app: {app}}}
  ports: [{{port: 80, targetPort: 8080}}]
"""


def client_of(fleet: Fleet) -> docker.APIClient:
    """The engine itself."""
    return docker.APIClient(base_url=fleet.forge.engine)


@contextlib.contextmanager
def fleet() -> Iterator[Fleet]:
    """Everything, on the engine that answers."""
    endpoint = find_engine(private_socket=None)
    with tempfile.TemporaryDirectory(prefix="ifg-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        forge = Forge(folder / "home", endpoint.host)
        try:
            forge.ok("base", "create", "python:3.11")
            forge.ok("up")
            images = {app: forge.ok("--quiet", "build", APPS / app).out.split()[0] for app in ("answers", "mixed")}
            yield Fleet(forge=forge, folder=folder, **images)
        finally:
            forge.run("down", "--purge", "--yes")

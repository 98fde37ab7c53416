"""A whole imageforge of the tests' own: a temporary home, free ports, the run's engine; and a client that counts."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.ports import unused_port

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Forge:
    """One home and the command line that works in it."""

    home: Path
    engine: str
    prefix: tuple[str, ...] = ()
    http_port: int = field(default_factory=unused_port)
    registry_port: int = field(default_factory=unused_port)
    api_port: int = field(default_factory=unused_port)
    extra: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    folder: Path = ROOT
    """Where commands run: an interpreter finds the packages of its folder before its own."""

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            "IMAGEFORGE_HOME": str(self.home),
            "IMAGEFORGE_HTTP_PORT": str(self.http_port),
            "IMAGEFORGE_REGISTRY_PORT": str(self.registry_port),
            "IMAGEFORGE_API_PORT": str(self.api_port),
            "IMAGEFORGE_DEPLOY_DEADLINE": "40",
            # The forge that webhooks fetch from is our own git remote.
            "IMAGEFORGE_GIT_HTTP": "true",
            "IMAGEFORGE_GIT_NETWORKS": "127.0.0.0/8",
            "DOCKER_HOST": self.engine,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "default",
            "PYTHONFAULTHANDLER": "1",
            "NO_COLOR": "1",
            "XDG_CONFIG_HOME": str(self.home / "config"),
            **self.extra,
        }

    @property
    def instance(self) -> str:
        return (self.home / "instance").read_text().strip()

    def start(self, *arguments: object, stdin: int = subprocess.DEVNULL, **environ: str) -> subprocess.Popen[str]:
        """A command that goes on running."""
        return subprocess.Popen(
            [*self.prefix, self.python, "-m", "imageforge", *map(str, arguments)],
            env={**self.environ, **environ},
            cwd=self.folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: object, **environ: str) -> Outcome:
        """A command to its end."""
        return self.end(self.start(*arguments, **environ), 240)

    def end(self, child: subprocess.Popen[str], seconds: float = 60) -> Outcome:
        """The end of a command, which is to come by itself; where it does not, what its threads were at is told."""
        with child:
            try:
                out, err = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGABRT)
                out, err = child.communicate(timeout=30)
                pytest.fail(f"{child.args} did not end:\n{out}\n{err}")
        return Outcome(child.returncode, out, err)

    def ok(self, *arguments: object, **environ: str) -> Outcome:
        """A command that must succeed."""
        outcome = self.run(*arguments, **environ)
        assert outcome.code == 0, f"{arguments}: exit {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome

    def connection(self) -> http.client.HTTPConnection:
        """A keep-alive connection to the balancer."""
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=15)

    def get(self, app: str, path: str = "/") -> tuple[int, str]:
        """One request to an app."""
        connection = self.connection()
        try:
            connection.request("GET", path, headers={"Host": f"{app}.localhost:{self.http_port}"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def knows_no(self, app: str) -> bool:
        """Whether requests to an app are answered with 404. The balancer hears a moment later that a Service is gone,
        and says until then that none of its replicas is ready."""
        deadline = time.monotonic() + 30
        while (status := self.get(app)[0]) == 503 and time.monotonic() < deadline:
            time.sleep(0.02)
        return status == 404

    def replicas(self, app: str) -> list[dict[str, Any]]:
        """The rows of `ps`."""
        rows: list[dict[str, Any]] = self.ok("ps", app, "-o", "json").json
        return rows


@pytest.fixture(scope="session")
def forge(engine_host: str, docker_client: docker.DockerClient) -> Iterator[Forge]:
    """A running imageforge, shared by the tests that leave it as they found it."""
    yield from temporary_forge(engine_host, docker_client)


@pytest.fixture
def own_forge(engine_host: str, docker_client: docker.DockerClient) -> Iterator[Forge]:
    """An imageforge for one test, which may break it."""
    yield from temporary_forge(engine_host, docker_client)


def temporary_forge(engine_host: str, docker_client: docker.DockerClient) -> Iterator[Forge]:
    """An imageforge in a home of its own; all that it made is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="ifg-", dir="/var/tmp"))
    made = Forge(home, engine_host)
    try:
        yield made
    finally:
        instance = made.instance if (home / "instance").exists() else None
        outcome = made.run("down", "--purge", "--yes")
        left = [] if instance is None else leftovers(docker_client, instance)
        shutil.rmtree(home, ignore_errors=True)
    assert outcome.code == 0, outcome.err
    assert left == []
    assert instance is None or not Path(f"/dev/shm/imageforge-{instance}").exists()


def leftovers(client: docker.DockerClient, instance: str) -> list[str]:
    """Whatever in the engine still carries an instance's label."""
    wanted = {"label": f"io.imageforge.instance={instance}"}
    return [
        *(f"container {found.name}" for found in client.containers.list(all=True, filters=wanted)),
        *(f"network {found.name}" for found in client.networks.list(filters=wanted)),
        *(f"image {found.id} {found.tags}" for found in client.images.list(filters=wanted)),
    ]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line, whatever pytest captures: what a run of faults came to."""

    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")

    return say


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder for a test's own small application."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder

"""The examples: lint clean, alive under hard settings, and the bad one as bad as its page says."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from linters import Severity, check, frontend_features

EXAMPLES = Path(__file__).parents[2] / "examples"
GOOD = ["02-flask-api/Dockerfile", "03-static-site/Dockerfile", "90-bad-practices/Dockerfile.fixed"]
OLDEST_FRONTEND = (1, 2)  # Engine 20.10


@pytest.mark.parametrize("name", GOOD)
def test_good_examples_have_no_finding(name: str) -> None:
    report = check(EXAMPLES / name)
    assert report.findings == ()
    assert report.notes == ()


@pytest.mark.parametrize("name", GOOD)
def test_good_examples_build_on_the_oldest_engine(name: str) -> None:
    assert [one for one in frontend_features(EXAMPLES / name) if one.needs > OLDEST_FRONTEND] == []


def test_the_bad_example_is_as_bad_as_its_table_says() -> None:
    page = (EXAMPLES / "90-bad-practices" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (\w+) \| (\w+) \| [^|]+ \|$", page, re.MULTILINE)
    report = check(EXAMPLES / "90-bad-practices" / "Dockerfile")
    assert [(str(one.line), one.rule, one.severity.value) for one in report.findings] == rows
    assert {one.principle.value for one in report.findings} >= {"one process", "immutable", "lightweight", "non-root"}
    assert {one.principle.value for one in report.at_least(Severity.ERROR)} >= {"one process", "immutable", "non-root"}


@pytest.fixture(scope="module")
def built(engine_host: str, buildkit_cli: str) -> Iterator[dict[str, str]]:
    """The images of two examples, built on the engine at hand and removed afterwards."""
    images: dict[str, str] = {}
    environment = {**os.environ, "DOCKER_HOST": engine_host, "DOCKER_BUILDKIT": "1"}
    for name in ("02-flask-api", "03-static-site"):
        tag = f"imageforge-test/linters-{name}:{os.getpid()}"
        command = [buildkit_cli, "build", "-q", "-t", tag, str(EXAMPLES / name)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
        images[name] = tag
    yield images
    for tag in images.values():
        subprocess.run([buildkit_cli, "rmi", "-f", tag], env=environment, capture_output=True, check=True)


def started(client: docker.DockerClient, image: str, instance: str) -> Container:
    """A container as a careful platform runs it: nothing to write to, no capability, a port other than the default."""
    return client.containers.run(
        image,
        detach=True,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        environment={"PORT": "8099"},
        ports={"8099/tcp": ("127.0.0.1", None)},
        labels={"io.imageforge.instance": instance},
    )


class Server:
    """Requests to a container's published port."""

    def __init__(self, container: Container) -> None:
        container.reload()
        self.port = int(container.ports["8099/tcp"][0]["HostPort"])
        deadline = time.monotonic() + 30
        while True:
            try:
                assert self.ask("GET", "/healthz") == (200, b"ok\n")
                return
            except (OSError, http.client.HTTPException):
                assert time.monotonic() < deadline, container.logs().decode()
                time.sleep(0.05)

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def ends_promptly(container: Container) -> None:
    before = time.monotonic()
    container.stop(timeout=20)
    assert time.monotonic() - before < 15
    container.reload()
    assert container.attrs["State"]["ExitCode"] in (0, 143)
    assert container.diff() in (None, [])


@pytest.mark.engine
@pytest.mark.slow
def test_flask_api_runs(built: dict[str, str], docker_client: docker.DockerClient, instance: str) -> None:
    container = started(docker_client, built["02-flask-api"], instance)
    server = Server(container)
    status, body = server.ask("POST", "/v1/statistics", '{"text": "Ship it. Ship it again!", "top": 2}')
    assert status == 200
    assert json.loads(body) == {
        "characters": 23,
        "words": 5,
        "unique_words": 3,
        "sentences": 2,
        "reading_seconds": 1,
        "top": [{"word": "it", "count": 2}, {"word": "ship", "count": 2}],
    }
    refused = ["{}", "[]", "no", '{"text": 1}', '{"text": "", "top": -1}', '{"text": "", "top": true}']
    assert {server.ask("POST", "/v1/statistics", body)[0] for body in refused} == {400}
    assert server.ask("POST", "/v1/statistics", "x" * 1_100_000)[0] == 413
    assert server.ask("GET", "/nothing")[0] == 404
    assert {row[0] for row in container.top(ps_args="-eo uid,pid")["Processes"]} == {"10001"}
    assert not re.search(rb"Traceback|Read-only|\[ERROR\]|\[WARNING\]", container.logs())
    ends_promptly(container)


@pytest.mark.engine
@pytest.mark.slow
def test_static_site_runs(built: dict[str, str], docker_client: docker.DockerClient, instance: str) -> None:
    container = started(docker_client, built["03-static-site"], instance)
    server = Server(container)
    site = EXAMPLES / "03-static-site" / "site"
    for path, file in [("/", "index.html"), ("/style.css", "style.css"), ("/icon.svg", "icon.svg")]:
        assert server.ask("GET", path) == (200, (site / file).read_bytes())
    assert server.ask("GET", "/nothing") == (404, (site / "404.html").read_bytes())
    assert {row[0] for row in container.top(ps_args="-eo uid,pid")["Processes"]} == {"10001"}
    size = docker_client.images.get(built["03-static-site"]).attrs["Size"]
    assert size < 4_000_000
    ends_promptly(container)

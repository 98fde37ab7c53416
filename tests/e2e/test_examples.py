"""The examples, run end to end as their READMEs say, so that they cannot rot."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator

import docker
import pytest

from linters import Severity, check
from tests.e2e.conftest import EXAMPLES, Forge


@pytest.mark.engine
@pytest.mark.slow
class TestRunning:
    """Those that are deployed."""

    @pytest.fixture(autouse=True)
    def _forget(self, forge: Forge, request: pytest.FixtureRequest) -> Iterator[None]:
        yield
        for app in ("textstat", "tides"):
            forge.run("apps", "delete", app, "--yes")

    def test_the_flask_api_counts_words(self, forge: Forge) -> None:
        outcome = forge.ok("deploy", EXAMPLES / "02-flask-api")
        assert "2/2 ready, 0 of" in outcome.err
        connection = forge.connection()
        text = "To be, or not to be. That is the question!"
        connection.request("POST", "/v1/statistics", body=text, headers={"Host": "textstat.localhost"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert (answer["words"], answer["sentences"], answer["greeting"]) == (10, 2, "hello")
        assert answer["most_common"][0] == ["to", 2]
        assert post(forge, b"\xff\xfe") == 400

    def test_the_static_site_is_served(self, forge: Forge, docker_client: docker.DockerClient) -> None:
        forge.ok("deploy", EXAMPLES / "03-static-site")
        status, body = forge.get("tides")
        assert status == 200
        assert "<h1>The tide table</h1>" in body
        assert forge.get("tides", "/style.css")[0] == 200
        assert forge.get("tides", "/nothing")[0] == 404
        for container in docker_client.containers.list(
            filters={"label": [f"io.imageforge.instance={forge.instance}", "io.imageforge.app=tides"]}
        ):
            processes = container.top(ps_args="-eo pid,uid,args")["Processes"]
            assert {row[1] for row in processes} == {"10001"}


def post(forge: Forge, body: bytes) -> int:
    connection: http.client.HTTPConnection = forge.connection()
    connection.request("POST", "/v1/statistics", body=body, headers={"Host": "textstat.localhost"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_table_of_bad_practices_is_what_the_linter_says() -> None:
    folder = EXAMPLES / "90-bad-practices"
    report = check(folder / "Dockerfile", context=folder)
    found = {(f.line, f.rule) for f in report.findings if f.severity.rank <= Severity.WARNING.rank}
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", (folder / "README.md").read_text(), re.MULTILINE)
    assert {(int(line), rule) for line, rule in rows} == found
    principles = {f.principle.value for f in report.findings}
    assert {"one process", "immutable", "lightweight", "non-root"} <= principles


@pytest.mark.parametrize("name", ["01-hello-http", "02-flask-api", "03-static-site", "bases/python-3.11"])
def test_the_good_examples_lint_without_a_warning(name: str) -> None:
    report = check(EXAMPLES / name / "Dockerfile", context=EXAMPLES / name)
    # A base image names no user on purpose: whoever builds on it does.
    waived = {"IF402"} if name.startswith("bases/") else set()
    assert [f for f in report.findings if f.severity.rank <= 1 and f.rule not in waived] == []

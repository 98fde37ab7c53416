"""The examples, deployed as their READMEs say, so that they cannot rot."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker
import pytest

from tests.e2e.conftest import EXAMPLES, Forge

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(autouse=True)
def forget(forge: Forge) -> Iterator[None]:
    yield
    for app in ("textstats", "site"):
        forge.run("apps", "delete", app, "--yes")


def test_the_flask_api_counts_words(forge: Forge) -> None:
    outcome = forge.ok("deploy", EXAMPLES / "02-flask-api")
    assert "2/2 ready, 0 of" in outcome.err
    connection = forge.connection()
    headers = {"Host": "textstats.localhost", "Content-Type": "application/json"}
    body = json.dumps({"text": "Ship it. Ship it again!", "top": 2})
    connection.request("POST", "/v1/statistics", body=body, headers=headers)
    answer = json.loads(connection.getresponse().read())
    connection.request("POST", "/v1/statistics", body=b"\xff\xfe", headers=headers)
    refused = connection.getresponse().status
    connection.close()
    assert (answer["words"], answer["sentences"], answer["top"][0]) == (5, 2, {"word": "it", "count": 2})
    assert refused == 400


def test_the_static_site_is_small_and_runs_as_nobody(forge: Forge, docker_client: docker.DockerClient) -> None:
    forge.ok("deploy", EXAMPLES / "03-static-site")
    status, body = forge.get("site")
    assert (status, "<!doctype html>" in body.lower()) == (200, True)
    assert forge.get("site", "/nothing")[0] == 404
    wanted = {"label": [f"io.imageforge.instance={forge.instance}", "io.imageforge.app=site"]}
    containers = docker_client.containers.list(filters=wanted)
    assert len(containers) == 2
    for container in containers:
        processes = container.top(ps_args="-eo pid,uid,args")["Processes"]
        assert {row[1] for row in processes} == {"10001"}
        assert container.image is not None
        assert container.image.attrs["Size"] < 5_000_000

"""The examples, deployed as their READMEs say, so that they cannot rot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import docker
import httpx
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


# Two images with packages of Debian and PyPI, and then the autoscaler's first look: two minutes.
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_guestbook_is_a_file_of_kubernetes(forge: Forge, docker_client: docker.DockerClient) -> None:
    """As its README goes: build both images, apply the file, sign; then what the file promises."""
    folder, in_it = EXAMPLES / "05-guestbook", ("-n", "guestbook")
    forge.ok("up")
    tags = [f"imageforge/guestbook-{part}:1.0" for part in ("web", "store")]
    for tag in tags:
        forge.ok("build", folder / tag.rpartition("-")[2].partition(":")[0], "--tag", tag, "--no-push")
    try:
        forge.ok("apply", "-f", folder / "guestbook.yaml", "--wait")
        visitor = httpx.Client(
            base_url=f"http://127.0.0.1:{forge.http_port}", headers={"Host": "guestbook.localhost"}, timeout=15
        )
        with visitor:
            assert "Nobody has signed yet." in visitor.get("/").text
            assert visitor.post("/", data={"name": "", "text": "x"}).status_code == 400
            signed = visitor.post("/", data={"name": "Ada", "text": "<b>first</b>"})
            assert (signed.status_code, signed.headers["location"]) == (303, "/")
            pages = [visitor.get("/") for _ in range(4)]
            assert all("&lt;b&gt;first&lt;/b&gt;" in page.text for page in pages)
            # The autoscaler's minimum, at its first look.
            until(lambda: len({visitor.get("/").headers["x-replica"] for _ in range(4)}) == 2)

            # The store's replica is replaced, its volume is not.
            forge.ok("rollout", "restart", "deployment/store", *in_it)
            forge.ok("rollout", "status", "deployment/store", *in_it)
            until(lambda: "first" in visitor.get("/").text)
        scaled = forge.ok("get", "hpa", "web", *in_it, "-o", "json").json
        assert (scaled["spec"]["minReplicas"], scaled["spec"]["maxReplicas"]) == (2, 6)
        shown = forge.ok("get", "secret,ingress,pvc", *in_it).out
        assert "try-me" not in shown
        assert ["ingress/web", "-", "guestbook.localhost", "80"] in [line.split() for line in shown.splitlines()]
        assert ["persistentvolumeclaim/store", "1Gi", "RWO", "-"] in [line.split() for line in shown.splitlines()]
    finally:
        forge.run("delete", "-f", folder / "guestbook.yaml", "--yes")
        for tag in tags:
            docker_client.images.remove(tag, force=True)
    assert forge.ok("get", "all", *in_it).out == ""


def until(reached: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""The main job, end to end: build, shrink, push, deploy, serve, change over, go back."""

from __future__ import annotations

import collections
import http.client
import os
import signal
import threading
import time
from pathlib import Path

import docker
import pytest

from tests.e2e.conftest import EXAMPLES, Forge
from tests.plain_registry import plain_registry

pytestmark = [pytest.mark.engine, pytest.mark.slow]

HELLO = EXAMPLES / "01-hello-http"


@pytest.fixture(scope="module")
def hello(forge: Forge) -> Forge:
    forge.ok("deploy", HELLO)
    return forge


def test_the_deploy_prints_its_stages_and_a_report(forge: Forge) -> None:
    outcome = forge.ok("deploy", HELLO)
    for stage in ("lint", "build", "squash", "push", "rollout"):
        assert any(line.startswith(stage) for line in outcome.err.splitlines()), outcome.err
    assert "trees equal" in outcome.err
    assert "3/3 ready, 0 of" in outcome.err
    assert f"http://hello.localhost:{forge.http_port}" in outcome.out
    assert outcome.out.count("Ready") == 3


def test_every_replica_gets_its_turn(hello: Forge) -> None:
    """3,000 requests over keep-alive connections reach three replicas 1,000 times each, give or take one."""
    seen: collections.Counter[str] = collections.Counter()
    lock = threading.Lock()

    def client() -> None:
        connection = hello.connection()
        mine: collections.Counter[str] = collections.Counter()
        for _ in range(500):
            connection.request("GET", "/", headers={"Host": "hello.localhost"})
            response = connection.getresponse()
            mine[response.read().decode()] += 1
        connection.close()
        with lock:
            seen.update(mine)

    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(seen.values()) == 3000
    assert len(seen) == 3
    assert all(abs(count - 1000) <= 1 for count in seen.values()), seen


def test_the_replicas_run_the_pushed_image_and_no_other(hello: Forge, docker_client: docker.DockerClient) -> None:
    release = hello.ok("releases", "hello", "-o", "json").json[0]
    labels = [f"io.imageforge.instance={hello.instance}", "io.imageforge.app=hello"]
    containers = docker_client.containers.list(filters={"label": labels})
    assert len(containers) == 3
    for container in containers:
        assert container.image is not None
        assert release["image"] in container.image.attrs["RepoDigests"]
        assert "no-new-privileges" in str(container.attrs["HostConfig"]["SecurityOpt"])
        assert container.image.attrs["Config"]["User"] == "10001"
        assert container.labels["io.imageforge.app"] == "hello"
        assert container.labels["io.imageforge.release"] == str(release["release"])
        assert container.labels["io.imageforge.digest"] in release["image"]


def test_images_are_listed_by_release_and_the_registry_knows_their_bill(hello: Forge) -> None:
    release = hello.ok("releases", "hello", "-o", "json").json[0]
    live = next(row for row in hello.ok("image", "ls", "hello", "-o", "json").json if row["live"])
    assert (live["app"], live["live"], live["image"]) == ("hello", release["release"], release["image"])
    assert (live["engine"], live["registry"]) == (True, True)
    assert f"{release['release']} (live)" in hello.ok("image", "ls").out
    found = hello.ok(
        "image", "inspect", f"docker://{release['image']}", "--to", f"docker://{release['image']}", "-o", "json"
    ).json
    assert found["push"]["bytes"] == 0
    bill = found["attached"]["bill"]
    assert (bill["mode"], bill["layers_after"], bill["proved"]) == ("from-base", len(found["layers"]), True)
    assert bill["bill"]["as_shipped"]["next_push"] < bill["bill"]["as_shipped"]["push"] + 100_000
    assert hello.ok("image", "diff", release["image"], f"docker://{release['image']}").out == ""


def test_a_stored_layer_that_was_damaged_on_the_disk_is_made_again_and_told_of(
    hello: Forge, tmp_path: Path, free_port: int
) -> None:
    for blob in (hello.home / "state" / "blobs" / "sha256").iterdir():
        packed = bytearray(blob.read_bytes())
        packed[len(packed) // 2] ^= 1
        blob.write_bytes(packed)
    # To a registry that does not have the layers yet.
    with plain_registry(tmp_path, free_port) as elsewhere:
        built = hello.ok("build", HELLO, "--no-cache", "--tag", f"{elsewhere}/mended:1")
        assert "was damaged on the disk: dropped, and made again" in " ".join(built.err.split())
        again = hello.ok("build", HELLO, "--no-cache", "--tag", f"{elsewhere}/mended-too:1")
        assert "damaged" not in again.err


def test_a_killed_replica_costs_at_most_what_was_in_flight_on_it(
    hello: Forge, docker_client: docker.DockerClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 under 12 keep-alive connections at 200 requests a second that do not retry."""
    load = Load(hello, "hello", connections=12, per_second=200)
    load.start()
    load.wait_for(200)
    victim = hello.replicas("hello")[0]["replica"]
    container = next(
        found
        for found in docker_client.containers.list(filters={"label": f"io.imageforge.instance={hello.instance}"})
        if found.labels["io.imageforge.replica"] == victim
    )
    container.reload()
    os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)
    load.wait_for(900)
    load.stop()
    with capsys.disabled():
        print(f"\nkill -9 of a replica: {load.failed} of {load.sent} requests failed {load.failures[:3]}")
    # At 200 a second, and with answers that take a millisecond, hardly one is in flight on one of three replicas; 12
    # connections bound it.
    assert load.failed <= 4
    wait_ready(hello, "hello", 3)


def test_a_new_version_loses_no_request(hello: Forge, project: Path) -> None:
    for file in HELLO.iterdir():
        (project / file.name).write_bytes(file.read_bytes())
    load = Load(hello, "hello", connections=6, per_second=150)
    load.start()
    source = (project / "app.py").read_text()
    (project / "app.py").write_text(source.replace("hello from", "good day from"))
    outcome = hello.ok("deploy", project)
    load.stop()
    assert "3/3 ready, 0 of" in outcome.err
    assert load.failed == 0, load.failures[:5]
    assert load.sent > 100
    assert hello.get("hello")[1].startswith("good day from")
    report = hello.ok("report", "hello", "-o", "json").json
    assert report["failed"] == 0
    assert report["requests"] > 100

    outcome = hello.ok("rollback", "hello")
    assert hello.get("hello")[1].startswith("hello from")
    rows = hello.ok("releases", "hello", "-o", "json").json
    assert rows[0]["note"].startswith("rollback to")
    assert [row["status"] for row in rows[:2]] == ["live", "superseded"]


def test_a_second_deploy_of_the_same_source_changes_no_byte(hello: Forge) -> None:
    first = hello.ok("build", HELLO, "-o", "json").json
    second = hello.ok("build", HELLO, "-o", "json").json
    assert first["reference"] == second["reference"]


def test_logs_name_the_replica(hello: Forge) -> None:
    hello.get("hello", "/?marker")
    lines = hello.ok("logs", "hello").out.splitlines()
    names = {row["replica"] for row in hello.replicas("hello")}
    assert {line.split(" | ")[0] for line in lines} >= names
    assert any("GET /?marker" in line for line in lines)


def test_restart_replaces_every_replica_without_loss(hello: Forge) -> None:
    before = {row["replica"] for row in hello.replicas("hello")}
    load = Load(hello, "hello", connections=4, per_second=100)
    load.start()
    hello.ok("restart", "hello")
    load.stop()
    after = {row["replica"] for row in hello.replicas("hello") if row["ready"]}
    assert len(after) == 3
    assert not before & after
    assert load.failed == 0, load.failures[:5]


def test_scale_is_refused_where_the_file_sets_replicas(hello: Forge) -> None:
    outcome = hello.run("scale", "hello", 5)
    assert outcome.code == 3
    assert "error[replicas-set-by-file]: hello" in outcome.err


def test_scale_outlives_a_push(forge: Forge, project: Path) -> None:
    for file in HELLO.iterdir():
        if file.name != "imageforge.toml":
            (project / file.name).write_bytes(file.read_bytes())
    forge.ok("deploy", project, "--name", "grow")
    forge.ok("scale", "grow", 2)
    assert len(forge.replicas("grow")) == 2
    forge.ok("deploy", project, "--name", "grow")
    assert len([row for row in forge.replicas("grow") if row["ready"]]) == 2
    (project / "app.py").write_text("raise SystemExit(1)")
    assert forge.run("deploy", project, "--name", "grow").code == 1
    wait_ready(forge, "grow", 2)
    forge.ok("apps", "delete", "grow", "--yes")
    assert forge.knows_no("grow")
    assert "grow" not in forge.ok("apps", "ls").out


def test_status_and_doctor_are_content(hello: Forge) -> None:
    status = hello.ok("status", "-o", "json").json
    assert {service["service"] for service in status["services"]} >= {"registry", "redis", "balancer", "controller"}
    assert all(service["state"] == "ready" for service in status["services"])
    outcome = hello.run("doctor")
    assert outcome.code == 0, outcome.out


def wait_ready(forge: Forge, app: str, count: int, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while sum(row["ready"] for row in forge.replicas(app)) != count:
        assert time.monotonic() < deadline, forge.replicas(app)


class Load:
    """Keep-alive connections that send at a steady rate, never retry, and count what fails."""

    def __init__(self, forge: Forge, app: str, *, connections: int, per_second: int) -> None:
        self._forge = forge
        self._host = f"{app}.localhost"
        self._interval = connections / per_second
        self._end = threading.Event()
        self._reached = threading.Condition()
        self._threads = [threading.Thread(target=self._client) for _ in range(connections)]
        self.sent = 0
        self.failed = 0
        self.failures: list[str] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def wait_for(self, count: int) -> None:
        with self._reached:
            assert self._reached.wait_for(lambda: self.sent >= count, timeout=60)

    def _client(self) -> None:
        connection = self._forge.connection()
        while not self._end.wait(self._interval):
            problem = ""
            try:
                connection.request("GET", "/", headers={"Host": self._host})
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    problem = f"{response.status} {body[:60]!r}"
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
                connection.close()
            with self._reached:
                self.sent += 1
                if problem:
                    self.failed += 1
                    self.failures.append(problem)
                self._reached.notify_all()
        connection.close()

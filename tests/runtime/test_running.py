"""The whole way: a real engine, a real HAProxy, the controller as a process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from runtime import (
    Conflict,
    ControllerClient,
    ControllerUnreachable,
    Label,
    ManifestError,
    NotFound,
    RuntimeSettings,
    initial_balancer_config,
    purge,
)
from runtime.balancer.balancer import Balancer
from runtime.balancer.counters import Counters
from runtime.balancer.socket import CommandSocket
from runtime.balancer.stats import parse_stat
from runtime.restart import FIRST_DELAY
from tests.runtime.load import Load, Session
from tests.runtime.relay import Relay
from tests.runtime.stack import ROOT, Stack, is_complete, manifest, wait_for

pytestmark = pytest.mark.engine


def await_counters(stack: Stack, load: Load) -> None:
    """The sums are what the clients saw; HAProxy counts a request shortly after its answer is out."""
    seen = (load.total, sum(load.failures.values()))

    def counted() -> tuple[int, int]:
        counters = stack.client.counters("default", "hello")
        return counters.requests, counters.failed

    with contextlib.suppress(AssertionError):
        wait_for(lambda: counted() == seen, timeout=30)
    assert counted() == seen, load.results


def test_three_replicas_take_turns_exactly(stack: Stack, app_image: str) -> None:
    applied = stack.client.apply(manifest(app_image))
    assert [(item.kind, item.change) for item in applied] == [("Deployment", "created"), ("Service", "created")]
    status = stack.until_complete("hello")
    assert (status.desired, status.available, status.host, status.release) == (3, 3, "hello.localhost", "7")
    with Session(stack.settings.http_port) as session:
        names = [session.get("/").split()[0] for _ in range(30)]
    assert Counter(names) == {replica.name: 10 for replica in status.replica_list}
    assert names[:3] * 10 == names
    counters = stack.client.counters("default", "hello")
    assert (counters.requests, counters.failed, set(counters.per_replica.values())) == (30, 0, {10})


def test_containers_are_labelled_and_publish_nothing(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(manifest(app_image, replicas=1))
    replica = stack.until_complete("hello").replica_list[0]
    container = docker_client.containers.get(replica.container_id)
    assert container.labels[Label.INSTANCE] == stack.settings.instance
    assert container.labels[Label.REPLICA] == replica.name
    assert container.labels[Label.RELEASE] == "7"
    host_config = container.attrs["HostConfig"]
    assert not host_config["PortBindings"]
    assert host_config["RestartPolicy"]["Name"] in ("", "no")
    assert host_config["ReadonlyRootfs"]
    assert "no-new-privileges:true" in host_config["SecurityOpt"]
    assert host_config["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    assert container.attrs["Config"]["Hostname"] == replica.name
    assert container.attrs["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert replica.listening == ("0.0.0.0:8080",)


def test_delete_leaves_nothing(stack: Stack, app_image: str, docker_client: docker.DockerClient) -> None:
    stack.client.apply(manifest(app_image, replicas=2))
    stack.until_complete("hello")
    stack.client.delete("default", "Deployment", "hello")
    stack.client.delete("default", "Service", "hello")
    stack.until_gone("hello")
    wanted = {"label": f"{Label.INSTANCE}={stack.settings.instance}"}
    assert docker_client.containers.list(all=True, filters=wanted) == []
    wait_for(lambda: docker_client.networks.list(filters=wanted) == [])
    with Session(stack.settings.http_port) as session:
        wait_for(lambda: session.status("/") == 404)


def test_rolling_update_under_load_fails_no_request(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, env={"VERSION": "1"}))
    before = stack.until_complete("hello")
    with Load(stack.settings.http_port) as load:
        wait_for(lambda: load.total >= 100)
        applied = stack.client.apply(manifest(app_image, env={"VERSION": "2"}))
        assert [item.change for item in applied] == ["configured", "unchanged"]
        seen = []
        for status in stack.client.watch("default", "hello", timeout=60):
            seen.append(status)
            if is_complete(status) and len(status.replica_list) == 3:
                break
        reached = load.total
        wait_for(lambda: load.total >= reached + 100)
    assert load.failures == {}
    assert load.total > 300
    assert min(status.available for status in seen) >= 3
    assert max(status.current for status in seen) <= 4
    after = seen[-1]
    assert (after.revision, after.phase) == (2, "complete")
    assert not {item.name for item in before.replica_list} & {item.name for item in after.replica_list}
    await_counters(stack, load)


def test_adding_a_service_under_load_fails_no_request(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=2))
    stack.until_complete("hello")
    with Load(stack.settings.http_port) as load:
        wait_for(lambda: load.total >= 50)
        other = manifest(app_image, name="other", replicas=1)
        stack.client.apply(other)
        stack.until_complete("other")
        reached = load.total
        wait_for(lambda: load.total >= reached + 50)
    assert load.failures == {}
    with Session(stack.settings.http_port, "OTHER.localhost:8700") as session:
        assert session.get("/").startswith("other-")
    await_counters(stack, load)


def test_scale_up_and_down_under_load(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=None))
    assert stack.until_complete("hello").desired == 1
    with Load(stack.settings.http_port) as load:
        for count in (3, 2):
            stack.client.scale("default", "hello", count)
            stack.until("hello", lambda status, count=count: is_complete(status) and len(status.replica_list) == count)
    assert load.failures == {}
    assert stack.client.deployment("default", "hello").revision == 1
    assert stack.client.apply(manifest(app_image, replicas=None))[0].change == "unchanged"
    assert stack.client.deployment("default", "hello").desired == 2
    assert "replicas: 2" in stack.client.manifests("default", "hello")
    stack.client.scale("default", "hello", 0)
    stack.until("hello", lambda status: is_complete(status) and not status.replica_list)
    with Session(stack.settings.http_port) as session:
        assert session.request("/") == (503, "No replica of this application is ready.\n")
    wait_for(lambda: stack.client.counters("default", "hello").failed == 1)


def test_restart_replaces_every_replica(stack: Stack, app_image: str) -> None:
    text = manifest(app_image, replicas=2)
    stack.client.apply(text)
    before = {item.name for item in stack.until_complete("hello").replica_list}
    stack.client.restart("default", "hello")
    status = stack.until("hello", lambda status: is_complete(status) and len(status.replica_list) == 2)
    assert not before & {item.name for item in status.replica_list}
    assert status.revision == 2
    assert stack.client.apply(text)[0].change == "unchanged"


def test_a_killed_replica_is_out_at_once_and_back_soon(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=2))
    victim = stack.until_complete("hello").replica_list[0]
    haproxy = CommandSocket(stack.settings.balancer_socket)

    def takes_requests() -> bool:
        rows = parse_stat(haproxy.ask("show stat"))
        return any(row.server == victim.name and row.up for row in rows)

    assert takes_requests()
    stack.kill_container(victim.container_id)
    died = time.monotonic()
    wait_for(lambda: not takes_requests(), interval=0.002)
    assert time.monotonic() - died < 2, "not by the next look at all"
    status = stack.until("hello", is_complete, timeout=40)
    again = next(item for item in status.replica_list if item.name == victim.name)
    assert time.monotonic() - died < FIRST_DELAY, "the first restart is at once"
    assert (again.restarts, again.exit_code) == (1, 137)
    assert again.container_id != victim.container_id
    with Session(stack.settings.http_port) as session:
        assert {session.get("/").split()[0] for _ in range(4)} == {item.name for item in status.replica_list}


def test_killing_replicas_under_load_loses_only_what_was_in_their_hands(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=3))
    victims = stack.until_complete("hello").replica_list[:2]
    with Load(stack.settings.http_port) as load:
        wait_for(lambda: load.total >= 50)
        for victim in victims:
            stack.kill_container(victim.container_id)
        reached = load.total
        wait_for(lambda: load.total >= reached + 100)
    assert sum(load.failures.values()) <= 8, load.failures
    await_counters(stack, load)


def test_a_crashing_image_backs_off_and_says_why(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=1, env={"CRASH": "3"}, extra="progressDeadlineSeconds: 4"))
    status = stack.until(
        "hello", lambda status: any(item.phase == "CrashLoopBackOff" for item in status.replica_list), timeout=20
    )
    (replica,) = status.replica_list
    assert (replica.exit_code, replica.restarts, replica.ready) == (3, 2, False)
    assert replica.last_log == ("about to crash",)
    assert replica.message == "ended with exit code 3; starts again 10 s after its end"
    stalled = stack.until("hello", lambda status: status.phase == "stalled", timeout=20)
    assert stalled.message == f"no progress for 4 s; {replica.name}: {replica.message}"


def test_a_bad_release_keeps_the_good_one_serving(stack: Stack, app_image: str) -> None:
    good = manifest(app_image, replicas=2)
    stack.client.apply(good)
    before = stack.until_complete("hello")
    stack.client.apply(manifest(app_image, replicas=2, env={"LISTEN": "127.0.0.1"}, extra="progressDeadlineSeconds: 2"))
    status = stack.until("hello", lambda status: status.phase == "stalled")
    (new,) = (item for item in status.replica_list if item.revision == 2)
    assert new.listening == ("127.0.0.1:8080",)
    assert "it listens on 127.0.0.1:8080, expected 0.0.0.0:8080" in status.message
    assert (status.available, status.updated) == (2, 1)
    with Session(stack.settings.http_port) as session:
        assert {session.get("/").split()[0] for _ in range(4)} == {item.name for item in before.replica_list}
    stack.client.apply(good)
    after = stack.until("hello", lambda status: is_complete(status) and len(status.replica_list) == 2)
    assert {item.container_id for item in after.replica_list} == {item.container_id for item in before.replica_list}
    assert after.revision == 3, "an old template that comes back takes the next number"


def test_an_image_that_is_nowhere(stack: Stack) -> None:
    stack.client.apply(manifest("127.0.0.1:1/nobody/nothing:1", replicas=1))
    status = stack.until("hello", lambda status: any(item.message for item in status.replica_list))
    (replica,) = status.replica_list
    assert replica.phase == "ImagePullBackOff"
    assert replica.message.startswith("127.0.0.1:1/nobody/nothing:1 cannot be pulled: ")
    stack.client.delete("default", "Deployment", "hello")
    stack.until_gone("hello")
    assert stack.client.deployments() == ()


def test_an_image_that_runs_as_root_is_not_started(stack: Stack, docker_client: docker.DockerClient) -> None:
    stack.client.apply(manifest("imageforge/python:3.11", replicas=1))
    status = stack.until("hello", lambda status: any(item.message for item in status.replica_list))
    assert status.replica_list[0].phase == "CreateContainerConfigError"
    assert "container has runAsNonRoot and image will run as root" in status.message
    assert (
        docker_client.containers.list(all=True, filters={"label": f"{Label.REPLICA}={status.replica_list[0].name}"})
        == []
    )


def test_a_command_that_is_not_in_the_image(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=1, container="command: [nonesuch]"))
    status = stack.until("hello", lambda status: any(item.restarts == 2 for item in status.replica_list))
    (replica,) = status.replica_list
    assert replica.phase == "CrashLoopBackOff"
    assert "nonesuch" in replica.message


def test_command_and_args_replace_what_the_image_says(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    command = 'command: [python3, "$(SCRIPT)"]'
    stack.client.apply(manifest(app_image, replicas=1, container=command, env={"SCRIPT": "/server.py"}))
    replica = stack.until_complete("hello").replica_list[0]
    attributes = docker_client.containers.get(replica.container_id).attrs
    assert (attributes["Path"], attributes["Args"]) == ("python3", ["/server.py"])


def test_logs_are_merged_and_followed_into_new_replicas(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=2))
    status = stack.until_complete("hello")
    lines = list(stack.client.logs("default", "hello"))
    assert sorted((line.replica, line.text, line.stream) for line in lines) == sorted(
        (item.name, "listening 1", "stdout") for item in status.replica_list
    )
    follower = stack.client.logs("default", "hello", follow=True, tail=1)
    assert {(line.replica, line.text) for line in (next(follower), next(follower))} == {
        (item.name, "listening 1") for item in status.replica_list
    }
    with Session(stack.settings.http_port) as session:
        session.get("/first")
        assert next(follower).text == "served /first"
        stack.client.scale("default", "hello", 3)
        started = next(follower)
        assert started.text == "listening 1"
        assert started.replica not in {item.name for item in status.replica_list}
    with contextlib.closing(follower):
        stack.client.delete("default", "Deployment", "hello")
        assert list(follower) == []


def test_a_killed_controller_comes_back_to_the_same_containers(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image))
    before = stack.until_complete("hello")
    with Load(stack.settings.http_port) as load:
        stack.stop_controller(kill=True)
        reached = load.total
        wait_for(lambda: load.total >= reached + 50)
        stack.kill_container(before.replica_list[0].container_id)
        stack.start_controller()
        status = stack.until("hello", lambda status: is_complete(status) and status.replica_list[0].restarts == 1)
    ids = [item.container_id for item in status.replica_list]
    assert [item.name for item in status.replica_list] == [item.name for item in before.replica_list]
    assert ids[1:] == [item.container_id for item in before.replica_list[1:]]
    assert ids[0] != before.replica_list[0].container_id
    await_counters(stack, load)


def test_a_controller_killed_in_mid_rollout_finishes_it(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(manifest(app_image))
    stack.until_complete("hello")
    with Load(stack.settings.http_port) as load:
        stack.client.apply(manifest(app_image, env={"VERSION": "2"}))
        stack.until("hello", lambda status: status.updated >= 2)
        stack.stop_controller(kill=True)
        stack.start_controller()
        status = stack.until("hello", lambda status: is_complete(status) and len(status.replica_list) == 3)
    assert load.failures == {}
    assert {item.revision for item in status.replica_list} == {2}
    wanted = {"label": f"{Label.INSTANCE}={stack.settings.instance}"}
    running = {container.id for container in docker_client.containers.list(all=True, filters=wanted)}
    assert running == {item.container_id for item in status.replica_list}


def test_who_is_patient_sees_the_rollout_through_though_the_controller_is_killed(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image))
    stack.until_complete("hello")
    patient, killed, seen = stack.client.patient(60), False, 0
    patient.apply(manifest(app_image, env={"VERSION": "2"}))
    for status in patient.watch("default", "hello", timeout=60):
        seen += 1
        if not killed:
            stack.stop_controller(kill=True)
            starting = threading.Timer(0.5, stack.start_controller)
            starting.start()
            killed = True
            # A call of its own waits, too.
            assert patient.deployment("default", "hello").desired == 3
            starting.join()
        elif is_complete(status):
            break
    assert status.updated == status.available == 3
    assert seen > 1
    patient.delete("default", "Deployment", "hello")
    stack.until_gone("hello")
    with pytest.raises(NotFound):
        next(iter(patient.watch("default", "hello")))


def test_haproxy_that_comes_back_with_an_old_file_is_put_right(stack: Stack, app_image: str) -> None:
    stack.client.apply(manifest(app_image, replicas=2))
    status = stack.until_complete("hello")
    with Session(stack.settings.http_port) as session:
        session.get("/")
    wait_for(lambda: stack.client.counters("default", "hello").requests == 1)
    stack.stop_haproxy()
    wait_for(lambda: not stack.client.info().balancer_ok)
    stack.settings.balancer_config.write_text(initial_balancer_config(stack.settings))
    stack.start_haproxy()
    wait_for(lambda: stack.client.info().balancer_ok)
    with Session(stack.settings.http_port) as session:
        assert {session.get("/").split()[0] for _ in range(4)} == {item.name for item in status.replica_list}
    wait_for(lambda: stack.client.counters("default", "hello").requests == 5)


def test_the_second_controller_is_refused(stack: Stack) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "runtime", "controller", "--settings", stack.home / "settings.json"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.startswith("error[controller-running]: ")
    assert stack.client.info().pid == stack.controller.pid  # type: ignore[union-attr]


def test_errors_cross_the_socket(stack: Stack, app_image: str) -> None:
    client = stack.client
    with pytest.raises(ManifestError) as refused:
        client.apply("kind: Wibble\napiVersion: v1", source="web.yaml")
    assert (refused.value.code, refused.value.subject) == ("unknown-kind", "web.yaml:1")
    for call in (
        lambda: client.deployment("default", "none"),
        lambda: client.scale("default", "none", 1),
        lambda: client.delete("default", "Deployment", "none"),
        lambda: client.counters("default", "none"),
        lambda: list(client.logs("default", "none")),
        lambda: list(client.watch("default", "none")),
        lambda: client.manifests("default", "none"),
    ):
        with pytest.raises(NotFound):
            call()
    assert [item.change for item in client.check(manifest(app_image))] == ["created", "created"]
    assert client.deployments() == ()
    client.apply(manifest(app_image, replicas=0))
    with pytest.raises(Conflict, match="already leads to Service default/hello") as taken:
        client.apply(manifest(app_image, name="other", replicas=0, host="hello.localhost"))
    assert taken.value.code == "host-taken"
    assert [item.name for item in client.deployments()] == ["hello"]
    with pytest.raises(ManifestError) as immutable:
        client.apply(manifest(app_image).replace("{app: hello}", "{app.kubernetes.io/name: hello}", 1))
    assert immutable.value.code == "immutable-field"
    with pytest.raises(ManifestError, match="expected 0 to 1000"):
        client.scale("default", "hello", -1)
    assert stack.settings.socket.stat().st_mode & 0o777 == 0o600


def test_nobody_answers(short_path: Path) -> None:
    with pytest.raises(ControllerUnreachable) as caught:
        ControllerClient(short_path / "none.sock").info()
    assert (caught.value.code, caught.value.hint, caught.value.kind) == (
        "controller-unreachable", "imageforge up", "environment",
    )  # fmt: skip


def test_an_unknown_host_is_told_nothing(stack: Stack) -> None:
    with Session(stack.settings.http_port, "nobody.example.org") as session:
        assert session.request("/") == (404, "No application answers to this host name.\n")


def test_the_end_of_the_controller_stops_nothing_and_a_purge_everything(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    stack.client.apply(manifest(app_image, replicas=2))
    stack.until_complete("hello")
    with pytest.raises(Conflict):
        purge(stack.settings)
    stack.stop_controller()
    wanted = {"label": f"{Label.INSTANCE}={stack.settings.instance}"}
    assert len(docker_client.containers.list(filters=wanted)) == 2
    assert purge(stack.settings) == 2
    assert docker_client.containers.list(all=True, filters=wanted) == []
    assert docker_client.networks.list(filters=wanted) == []
    # What should run is not forgotten: the next controller brings it back.
    stack.start_controller()
    stack.until_complete("hello")
    assert len(docker_client.containers.list(filters=wanted)) == 2


def test_an_engine_that_goes_away_and_comes_back(
    settings: RuntimeSettings, short_path: Path, engine_host: str, app_image: str
) -> None:
    with Relay(short_path / "engine.sock", engine_host) as relay:
        stack = Stack(settings=replace(settings, engine=f"unix://{relay.path}"), home=short_path)
        with stack.running():
            stack.client.apply(manifest(app_image, replicas=2))
            before = stack.until_complete("hello")
            relay.cut()
            wait_for(lambda: not stack.client.info().engine_ok)
            stack.client.apply(manifest(app_image, name="later", replicas=1, service=False))
            with Session(settings.http_port) as session:
                names = {session.get("/").split()[0] for _ in range(4)}
                assert names == {item.name for item in before.replica_list}
            stack.kill_container(before.replica_list[0].container_id, engine_host)
            relay.restore()
            after = stack.until("hello", lambda status: is_complete(status) and status.replica_list[0].restarts == 1)
            assert after.replica_list[1].container_id == before.replica_list[1].container_id
            stack.until_complete("later")
            assert stack.client.info().engine_ok


def test_a_controller_that_starts_before_its_engine(
    settings: RuntimeSettings, short_path: Path, engine_host: str, app_image: str
) -> None:
    with Relay(short_path / "engine.sock", engine_host) as relay:
        relay.cut()
        stack = Stack(settings=replace(settings, engine=f"unix://{relay.path}"), home=short_path)
        with stack.running():
            stack.client.apply(manifest(app_image, replicas=1))
            wait_for(lambda: not stack.client.info().engine_ok)
            assert "the engine does not answer" in stack.client.deployment("default", "hello").message
            relay.restore()
            stack.until_complete("hello")


def test_a_service_whose_port_nobody_has(stack: Stack, app_image: str) -> None:
    text = manifest(app_image, replicas=1).replace("targetPort: http", "targetPort: web")
    stack.client.apply(text)
    status = stack.until("hello", lambda status: status.ready == 1)
    assert (status.available, status.message) == (
        0, 'Service hello leads to the port "web", and the container has none of that name',
    )  # fmt: skip


def test_a_reload_that_fails_keeps_what_serves(stack: Stack, app_image: str) -> None:
    """The master cannot bind what the new configuration asks for: the old process serves on, and it is said."""
    stack.client.apply(manifest(app_image, replicas=1))
    stack.until_complete("hello")
    balancer = Balancer(replace(stack.settings, http_address="203.0.113.1"), Counters())
    stack.stop_controller()
    assert balancer.sync(lambda: ()) == frozenset()
    assert balancer.error is not None
    assert balancer.error.code == "balancer-reload-failed"
    assert not balancer.settling
    with Session(stack.settings.http_port) as session:
        session.get("/")
    stack.start_controller()
    wait_for(lambda: stack.client.info().balancer_ok)
    with Session(stack.settings.http_port) as session:
        session.get("/")

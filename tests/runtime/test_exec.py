"""Commands in running containers, and the output of containers that are there no more."""

from __future__ import annotations

import contextlib

import docker
import pytest

from runtime import Label, NotFound, RuntimeFailure, Selection, Session
from tests.runtime.stack import Stack, manifest, wait_for
from tests.runtime.test_attachment import collect

pytestmark = pytest.mark.engine

HELLO = Selection(namespace="default", kind="Deployment", names=("hello",))
ENV = """env:
            - {name: GREETING, value: hello there}
            - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
            - {name: AT, value: "$(ADDRESS):8080"}
            - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
          resources: {limits: {memory: 200Mi}}"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: crasher, labels: {{tier: back}}}}
spec:
  restartPolicy: Always
  terminationGracePeriodSeconds: 1
  hostname: crash
  subdomain: back
  containers:
    - name: main
      image: {image}
      command: [python3, -c, "import sys; print('out', flush=True); print('err', file=sys.stderr); \
        open('/dev/termination-log', 'w').write('because'); sys.stdin.read(1)"]
      stdin: true
      terminationMessagePolicy: File
    - {{name: beside, image: {image}, env: [{{name: PORT, value: "8081"}}]}}
"""


def test_commands_run_in_containers_and_output_outlives_them(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    client = stack.client
    client.apply(manifest(app_image, replicas=2, container=ENV))
    status = stack.until_complete("hello")

    def run(*command: str, **said: object) -> Session:
        return client.execute(HELLO, command, **said)  # type: ignore[arg-type]

    with run("sh", "-c", 'echo "$GREETING"; id -u; echo oops >&2; exit 41') as session:
        assert collect(session) == (b"hello there\n10001\n", b"oops\n", 41)
    first = status.replica_list[0]
    with run("sh", "-c", "echo $ADDRESS $AT $MEMORY", replica=first.name) as session:
        assert collect(session)[0].decode() == f"{first.address} {first.address}:8080 200\n"
    with run("cat", stdin=True) as session:
        session.send(b"typed\x00hunter2")
        session.end_input()
        assert collect(session) == (b"typed\x00hunter2", b"", 0)
    assert not any("hunter2" in item.message for item in client.events())
    assert "hunter2" not in (stack.home / "controller.log").read_text()
    second = status.replica_list[1].name
    with run("hostname", replica=second) as session:
        assert session.where == f"{second}/hello"
        assert collect(session)[0].decode().strip() == second
    with run("sh", "-c", "read line; stty size; tty", stdin=True, tty=True, size=(33, 101)) as session:
        session.send(b"go\r")
        out, err, code = collect(session)
        assert (b"33 101" in out, b"/dev/pts" in out, err, code) == (True, True, b"", 0)
    with run("sh", "-c", "echo begun; exec sleep 600") as session:
        assert session.receive()[0].data == b"begun\n"
        there = [session.where.startswith(item.name) for item in status.replica_list].index(True)
        top = docker_client.containers.get(status.replica_list[there].container_id)
        assert any("sleep 600" in line[-1] for line in top.top()["Processes"])
    wait_for(lambda: not any("sleep 600" in line[-1] for line in top.top()["Processes"]))
    for command, code in (("nonesuch", "command-not-found"), ("/server.py", "command-not-executable")):
        with pytest.raises(RuntimeFailure) as refused:
            run(command)
        assert refused.value.code == code, refused.value
    with pytest.raises(NotFound, match="has no replica nobody"):
        run("true", replica="nobody")

    # A container that crashed has its output still, over a restart of the controller.
    client.apply(POD.format(image=app_image))
    for _ in client.watch_pod("default", "crasher", timeout=30):
        if client.pod("default", "crasher").ready:
            break
    beside = Selection(namespace="default", kind="Pod", names=("crasher",), container="beside")
    with client.execute(beside, ("hostname", "-f")) as session:
        assert collect(session) == (b"crash.back.default.svc.cluster.local\n", b"", 0)
    crashed = client.pod("default", "crasher").containers[0].container_id
    crasher = Selection(namespace="default", kind="Pod", names=("crasher",))
    with pytest.raises(NotFound, match="previous terminated container not found"):
        list(client.output(crasher, previous=True))
    follower = client.output(Selection(namespace="default", labels={"tier": "back"}, every=True), follow=True)
    seen = [next(follower) for _ in range(3)]
    stack.kill_container(crashed)
    seen += [next(follower) for _ in range(2)]
    told = sorted((line.replica, line.container, line.text) for line in seen)
    assert told == sorted(
        [("crasher", "beside", "listening 1"), *[("crasher", "main", "out")] * 2, *[("crasher", "main", "err")] * 2]
    )
    follower.close()  # type: ignore[attr-defined]
    stack.stop_controller(kill=True)
    stack.start_controller()
    wait_for(lambda: client.pod("default", "crasher").restarts == 1 and client.pod("default", "crasher").ready)
    assert client.pod("default", "crasher").containers[0].last_log == ("because",)
    before = list(client.output(crasher, previous=True))
    now = list(client.output(crasher))
    assert {line.text for line in before} == {line.text for line in now} == {"out", "err"}
    assert len(before) == len(now) == 2
    assert before[-1].at < now[0].at
    assert list(client.output(crasher, since=now[1].at)) == now[1:]
    assert len(list(client.output(crasher, tail=1))) == 1
    kept = {"label": f"{Label.POD}=crasher"}
    assert len(docker_client.containers.list(all=True, filters=kept)) == 4, "sandbox, two, and the one before"
    for container in docker_client.containers.list(filters=kept):
        if container.labels[Label.CONTAINER] in ("hello", "beside"):
            log = container.attrs["HostConfig"]["LogConfig"]
            assert log == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    client.delete("default", "Pod", "crasher")
    with contextlib.suppress(NotFound):
        for _ in client.watch_pod("default", "crasher", timeout=30):
            pass
    assert docker_client.containers.list(all=True, filters=kept) == []

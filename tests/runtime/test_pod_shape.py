"""Several containers in a template: what is refused, how they count, what the replica is made of; and the tiny program
that holds their network."""

from __future__ import annotations

import os
import select
import signal
import stat
import struct
import subprocess
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ManifestError, load_manifests
from runtime.container import Identity, container_request
from runtime.labels import Label
from runtime.manifest.model import ContainerSpec, Deployment, PodTemplate
from runtime.manifest.resources import Resources
from runtime.manifest.template import template_hash
from runtime.resources import Amounts, Qos, asked, qos
from runtime.restart import RestartPolicy
from runtime.roster import Replica
from runtime.sandbox import archive, image_name, program, sandbox_request

HEAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
"""
MAIN = "      containers: [{name: web, image: a, ports: [{containerPort: 80, name: http}]}"


def template(lines: str) -> PodTemplate:
    deployment = load_manifests(HEAD + lines, "web.yaml")[0].object
    assert isinstance(deployment, Deployment)
    return deployment.template


@pytest.mark.parametrize(
    ("lines", "code", "line", "message"),
    [
        (MAIN + ", {name: web, image: b}]", "invalid-value", 9, 'the name "web" is already used'),
        (MAIN + "]\n      initContainers: [{name: web, image: b}]", "invalid-value", 10, '"web" is already used'),
        (MAIN + ", {name: b, image: b, ports: [{containerPort: 81, name: http}]}]", "invalid-value", 9, '"http" is'),
        (MAIN + "]\n      initContainers: [{name: b, image: b, livenessProbe: {tcpSocket: {port: 1}}}]",
         "invalid-value", 10, "livenessProbe: an init container has none"),
        (MAIN + "]\n      initContainers: [{name: b, image: b, lifecycle: {preStop: {sleep: {seconds: 1}}}}]",
         "invalid-value", 10, "lifecycle: an init container has none"),
        (MAIN + "]\n      initContainers: [{name: b, image: b, restartPolicy: Never}]", "unsupported-field", 10,
         "a Pod of its own here"),
        (MAIN + "]\n      initContainers: [{name: b}]", "missing-field", 10, "initContainers[0].image is missing"),
        (MAIN + "]\n      hostname: A_b", "invalid-value", 10, "hostname"),
        ("      containers: [{name: web, image: a, restartPolicy: Always}]", "unsupported-field", 9, "restartPolicy"),
        ("      containers: [{name: web, image: a, workingDir: tmp}]", "invalid-value", 9, "workingDir is \"tmp\""),
        ("      containers: [{name: web, image: a, stdinOnce: true}]", "unsupported-field", 9, "stdinOnce"),
        ("      containers: []", "invalid-value", 9, "containers is empty"),
    ],
)  # fmt: skip
def test_refused_by_name_with_its_line(lines: str, code: str, line: int, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template(lines)
    assert (caught.value.code, caught.value.subject) == (code, f"web.yaml:{line}"), caught.value
    assert message in caught.value.message


GROUP = MAIN + (
    ", {name: log, image: b, stdin: true, tty: true, workingDir: /tmp, imagePullPolicy: Never,"
    " ports: [{containerPort: 81, name: log}]}]\n      hostname: shop\n      initContainers:"
    " [{name: first, image: c}, {name: side, image: d, restartPolicy: Always, ports: [{containerPort: 82, name: adm}]}]"
)


def test_several_containers_and_their_order() -> None:
    made = template(GROUP)
    assert [spec.name for spec in made.all_containers] == ["web", "log", "first", "side"]
    assert [spec.name for spec in made.serving_containers] == ["web", "log", "side"]
    assert [spec.name for spec in made.sidecars] == ["side"]
    assert made.is_group
    assert [made.port_number(port) for port in ("http", "log", "adm", 7, "none")] == [80, 81, 82, 7, None]
    log = made.others[0]
    assert (log.stdin, log.tty, log.working_dir, log.never_pull) == (True, True, "/tmp", True)
    assert not template(MAIN + "]").is_group


def test_the_hash_of_one_container_stays_and_another_changes_it() -> None:
    alone = template(MAIN + "]")
    assert template_hash(alone) == template_hash(replace(alone, others=(), init=(), hostname=""))
    assert template_hash(alone) != template_hash(template(GROUP))


WHO = Identity(instance="abc", namespace="shop", deployment="web", replica="web-x-1", template_hash="x", revision=4)


def test_others_join_the_sandbox_under_names_of_their_own() -> None:
    made = template(GROUP)
    main = container_request(made, WHO, lambda _: None, {}, sandbox="s1")
    other = container_request(made, WHO, lambda _: None, {}, spec=made.others[0], sandbox="s1")
    assert (main.name, other.name) == ("imageforge-abc-web-x-1", "imageforge-abc-web-x-1_log")
    assert (main.joins, other.joins, other.image) == ("s1", "s1", "b")
    assert (other.labels[Label.CONTAINER], other.labels[Label.REPLICA]) == ("log", "web-x-1")
    sandbox = sandbox_request(made, WHO, main.labels, 0)
    assert (sandbox.name, sandbox.hostname, sandbox.image) == (
        "imageforge-abc-web-x-1__pod", "shop", image_name("abc")
    )  # fmt: skip
    assert (sandbox.confinement.drop, sandbox.read_only, sandbox.shares_ipc) == (("ALL",), True, True)
    assert sandbox.limits.oom_score_adj == 0
    assert sandbox_request(made, WHO, main.labels, -1000).limits.oom_score_adj == -998


def spec(name: str, cpu: int, *, sidecar: bool = False) -> ContainerSpec:
    return ContainerSpec(name=name, image="a", resources=Resources(cpu_request=cpu), sidecar=sidecar)


@pytest.mark.parametrize(
    ("init", "cpu"),
    [
        ((), 300),
        ((("i", 100, False),), 300),
        ((("i", 900, False),), 900),
        ((("s", 50, True),), 350),
        ((("s", 50, True), ("i", 280, False)), 350),
        ((("s", 50, True), ("i", 400, False)), 450),
        ((("i", 400, False), ("s", 50, True)), 400),
    ],
)
def test_a_pod_asks_for_all_that_runs_at_once(init: tuple[tuple[str, int, bool], ...], cpu: int) -> None:
    made = PodTemplate(
        container=spec("a", 100), others=(spec("b", 200),), labels={},
        init=tuple(spec(name, amount, sidecar=sidecar) for name, amount, sidecar in init),
    )  # fmt: skip
    assert asked(made) == Amounts(cpu=cpu)


def test_one_container_without_limits_makes_a_pod_burstable() -> None:
    full = Resources(cpu_request=1, cpu_limit=1, memory_request=1, memory_limit=1)
    guaranteed = PodTemplate(container=ContainerSpec(name="a", image="a", resources=full), labels={})
    assert qos(guaranteed) is Qos.GUARANTEED
    assert qos(replace(guaranteed, others=(ContainerSpec(name="b", image="b"),))) is Qos.BURSTABLE


@pytest.mark.parametrize(
    ("policy", "exit_code", "again"),
    [
        (RestartPolicy.ALWAYS, 0, True), (RestartPolicy.ALWAYS, 3, True), (RestartPolicy.ALWAYS, None, True),
        (RestartPolicy.ON_FAILURE, 0, False), (RestartPolicy.ON_FAILURE, 3, True),
        (RestartPolicy.ON_FAILURE, None, True), (RestartPolicy.NEVER, 0, False), (RestartPolicy.NEVER, 3, False),
    ],
)  # fmt: skip
def test_which_ends_are_followed_by_another_start(policy: RestartPolicy, exit_code: int | None, again: bool) -> None:
    assert policy.starts_again(exit_code) is again


@given(st.dictionaries(st.sampled_from(["web", "log", "first", "side"]), st.booleans()))
def test_a_replica_is_ready_when_all_that_serve_are(ready: dict[str, bool]) -> None:
    replica = Replica(
        name="r", namespace="n", deployment="d", template_hash="h", template=template(GROUP), created_at=0.0
    )
    for number, (name, value) in enumerate(ready.items()):
        replica = replica.with_record(name, float(number), ready=value, running=True)
    expected = all(ready.get(name, False) for name in ("web", "log", "side"))
    assert (replica.ready, replica.serving) == (expected, expected)
    assert (replica.ready_since is not None) is expected
    stopping = replace(replica, terminating=True).with_record("first", 9.0, done=True)
    assert (stopping.ready, stopping.serving) == (False, expected), "told apart while it is being stopped"


def test_of_several_the_one_in_trouble_speaks() -> None:
    replica = Replica(
        name="r", namespace="n", deployment="d", template_hash="h", template=template(GROUP), created_at=0.0
    )
    replica = replica.with_record("web", 1.0, phase="Ready", ready=True, running=True, container_id="c")
    replica = replica.with_record("log", 2.0, phase="CrashLoopBackOff", message="ended with exit code 1", exit_code=1)
    assert (replica.phase, replica.message) == ("CrashLoopBackOff", "log: ended with exit code 1")
    assert (replica.container_id, replica.exit_code, replica.running) == ("c", None, True)


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_the_sandbox_program_is_a_static_executable(architecture: str, machine: int) -> None:
    content = program(architecture)
    kind, number, _, entry, headers = struct.unpack_from("<HHIQQ", content, 16)
    assert (content[:6], kind, number, headers) == (b"\x7fELF\x02\x01", 2, machine, 64)
    load, flags, offset, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", content, 64)
    assert (load, flags, offset, in_file, in_memory) == (1, 5, 0, len(content), len(content))
    assert entry == address + 120
    assert len(content) < 200


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the program of this test is of another machine")
def test_the_sandbox_program_sleeps_until_it_is_killed(tmp_path: Path) -> None:
    with tarfile.open(fileobj=BytesIO(archive("amd64"))) as tar:
        tar.extractall(tmp_path, filter="data")
    pause = tmp_path / "pause"
    assert pause.stat().st_mode & stat.S_IXUSR
    process = subprocess.Popen([pause])
    watched = os.pidfd_open(process.pid)
    try:
        assert select.select([watched], [], [], 0.2)[0] == [], "it sleeps"
    finally:
        os.close(watched)
        process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM

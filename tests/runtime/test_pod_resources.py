"""What a pod asks for and may take as a whole: read, counted, and held by the kernel."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from _pytest.mark.structures import MarkDecorator

from runtime import ConfigError, ManifestError, load_manifests
from runtime.autoscale.calculate import Asked, Reading, Tolerances, by_utilization
from runtime.autoscale.calculate import Pod as Measured
from runtime.manifest.model import Pod, PodTemplate
from runtime.manifest.resources import Resources
from runtime.manifest.template import template_hash
from runtime.metrics.cgroup import parse_mounts
from runtime.pod_group import PodGroups, differs, properties, settings
from runtime.resources import (
    Amounts,
    Machine,
    PodLimits,
    Qos,
    asked,
    bounded,
    limits,
    pod_limits,
    qos,
    why_not,
)
from tests.runtime.stack import Stack, wait_for

engine: MarkDecorator = pytest.mark.engine
root: MarkDecorator = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes control groups")
MI, GI = 2**20, 2**30

WHOLE = """
apiVersion: v1
kind: Pod
metadata: {name: whole}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  resources:
    requests: {cpu: 500m, memory: 100Mi}
    limits: {cpu: "1", memory: 200Mi, pids: 64}
  initContainers:
    - {name: first, image: IMAGE, command: ["true"], resources: {requests: {cpu: 300m}}}
  containers:
    - {name: main, image: IMAGE, command: [sleep, infinity], resources: {requests: {cpu: 100m, memory: 40Mi}}}
    - {name: beside, image: IMAGE, command: [sleep, infinity], resources: {limits: {cpu: 200m}}}
"""
REQUESTS = "requests: {cpu: 500m, memory: 100Mi}"
LIMITS = 'limits: {cpu: "1", memory: 200Mi, pids: 64}'


def template(*changes: tuple[str, str]) -> PodTemplate:
    text = WHOLE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    found = load_manifests(text)[0].object
    assert isinstance(found, Pod)
    return found.template


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        (REQUESTS, "requests: {cpu: 200m}", "invalid-value", "aggregate container requests of 300m"),
        (REQUESTS, "requests: {cpu: 2}", "invalid-value", "requests.cpu is 2, more than the limit, which is 1"),
        (REQUESTS, "requests: {pids: 5}", "unsupported-field", "requests.pids"),
        (REQUESTS, "requests: {hugepages-2Mi: 5}", "unsupported-field", "requests.hugepages-2Mi"),
        (REQUESTS, "requests: {ephemeral-storage: 5}", "unsupported-field", "requests.ephemeral-storage"),
        (REQUESTS, "claims: [{name: a}]", "unsupported-field", "spec.resources.claims"),
        (LIMITS, "limits: {cpu: 100m, memory: 200Mi}", "invalid-value", "more than the limit"),
        (LIMITS, "limits: {pids: 1.5}", "invalid-value", "a whole number of processes"),
        (LIMITS, "limits: {pids: 0}", "invalid-value", "a whole number of processes"),
        (
            "limits: {cpu: 200m}",
            "limits: {cpu: 2}, requests: {cpu: 100m}",
            "invalid-value",
            "the limit of container beside, 2, must be less",
        ),
    ],
)  # fmt: skip
def test_refused_by_name(old: str, new: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template((old, new))
    assert (caught.value.code, message in caught.value.message) == (code, True), caught.value


def test_a_limit_that_is_less_than_the_containers_ask_for_is_refused() -> None:
    with pytest.raises(ManifestError, match=r"limits\.memory is 30Mi, and the containers of the pod ask for 40Mi"):
        template((REQUESTS, ""), ("memory: 200Mi", "memory: 30Mi"))


@pytest.mark.parametrize(
    ("requests", "most", "expected"),
    [
        (REQUESTS, LIMITS, (500, 1000, 100 * MI, 200 * MI)),
        # Of a limit without a request: what the containers ask for together.
        ("", 'limits: {cpu: "1", memory: 200Mi}', (300, 1000, 40 * MI, 200 * MI)),
        # Without limits nothing is filled in.
        ("requests: {cpu: 500m}", "", (500, None, None, None)),
        ("", "", (None, None, None, None)),
        ("requests: {cpu: 500m}", 'limits: {memory: "200Mi"}', (500, None, 40 * MI, 200 * MI)),
    ],
)
def test_what_is_not_said_of_the_pod(requests: str, most: str, expected: tuple[int | None, ...]) -> None:
    found = template((REQUESTS, requests), (LIMITS, most)).resources
    assert (found.cpu_request, found.cpu_limit, found.memory_request, found.memory_limit) == expected


def test_a_limit_is_the_request_where_no_container_asks_for_anything() -> None:
    bare = template(
        (REQUESTS, ""),
        (", resources: {requests: {cpu: 300m}}", ""),
        (", resources: {requests: {cpu: 100m, memory: 40Mi}}", ""),
        (", resources: {limits: {cpu: 200m}}", ""),
    )
    assert bare.resources == Resources(cpu_request=1000, cpu_limit=1000, memory_request=200 * MI, memory_limit=200 * MI)
    assert (bare.pids, qos(bare)) == (64, Qos.GUARANTEED)


def test_the_pod_comes_before_its_containers() -> None:
    made = template()
    assert asked(made) == Amounts(cpu=500, memory=100 * MI)
    machine = Machine(size=Amounts(cpu=900, memory=GI), labels={})
    assert why_not(made, machine, ()) == ""
    assert "1 Insufficient cpu (asks for 500m, 400m of 900m is free)" in why_not(made, machine, (asked(made),))
    assert qos(made) is Qos.BURSTABLE
    # Resource by resource: what is not said of the pod is its containers'.
    assert asked(template((REQUESTS, "requests: {cpu: 500m}"), (LIMITS, ""))) == Amounts(cpu=500, memory=40 * MI)
    plain = template((REQUESTS, "{}"), (LIMITS, ""))
    assert (asked(plain), pod_limits(plain)) == (Amounts(cpu=300, memory=40 * MI), None)
    processes = template((REQUESTS, ""), (LIMITS, "limits: {pids: 5}"))
    assert (pod_limits(processes), qos(processes)) == (PodLimits(cpu_shares=307, pids=5), Qos.BURSTABLE)
    assert len({template_hash(each) for each in (made, plain, processes)}) == 3


def test_containers_without_limits_have_those_of_their_pod() -> None:
    made = template()
    main, beside = made.container, made.others[0]
    # 60 MiB that nobody asks for are the three containers' in equal parts.
    assert bounded(made, main) == Resources(
        cpu_request=100, cpu_limit=1000, memory_request=60 * MI, memory_limit=200 * MI
    )
    assert bounded(made, beside) == replace(
        beside.resources, cpu_limit=200, memory_limit=200 * MI, memory_request=20 * MI
    )
    assert limits(bounded(made, main), qos(made), 600 * MI).oom_score_adj == 900
    assert pod_limits(made) == PodLimits(cpu_shares=512, cpu_quota=100_000, memory=200 * MI, pids=64)


def test_an_autoscaler_counts_what_the_pod_asks_for() -> None:
    pod = Measured(
        name="a", started_at=0, since=0, asked=(Asked(container="main", cpu=100),), whole=Asked(container="", cpu=500)
    )
    for container, replicas in (("", 2), ("main", 10)):
        found = by_utilization(
            1, 50, [pod], {"a": Reading(value=500)}, resource="cpu", container=container, tolerances=Tolerances(),
            now=1000,
        )  # fmt: skip
        assert found.replicas == (2 if not container else 10) == replicas


def test_the_figures_are_the_kernels_in_both_versions() -> None:
    said = PodLimits(cpu_shares=512, cpu_quota=12_500, memory=100_000_000, pids=64)
    assert {item.file: item.text for item in settings(said, unified=False)} == {
        "memory.limit_in_bytes": "100000000",
        "memory.memsw.limit_in_bytes": "100000000",
        "cpu.shares": "512",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "12500",
        "pids.max": "64",
    }
    assert {item.file: item.text for item in settings(said, unified=True)} == {
        "memory.max": "100000000",
        "memory.swap.max": "0",
        "cpu.weight": "20",
        "cpu.max": "12500 100000",
        "pids.max": "64",
    }
    assert properties(said, unified=True) == (
        "MemoryMax=100000000", "MemorySwapMax=0", "CPUWeight=20", "CPUQuota=12.5%", "TasksMax=64",
    )  # fmt: skip
    assert "CPUShares=512" in properties(said, unified=False)
    assert settings(PodLimits(), unified=True) == properties(PodLimits(), unified=True) == ()
    memory = settings(said, unified=True)[0]
    assert [differs(memory, held) for held in ("99999744\n", "99995648\n", "max\n")] == [False, True, True]


@pytest.fixture
def socket_of_ours(short_path: Path) -> Iterator[str]:
    """An engine whose process is this one."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_path / "docker.sock"))
        listener.listen()
        yield f"unix://{short_path}/docker.sock"


def machine(driver: str, *, unified: bool = False) -> Machine:
    return Machine(size=Amounts(), labels={}, cgroup_driver=driver, unified=unified)


@root
def test_what_cannot_be_held_is_refused_with_the_reason(
    socket_of_ours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for host, driver, mounts, reason in (
        ("tcp://10.0.0.1:2375", "cgroupfs", {}, "only root, with an engine of this host"),
        (socket_of_ours, "none", {}, "the engine has the cgroup driver none"),
        (socket_of_ours, "systemd", {}, "there is no systemctl here"),
        (socket_of_ours, "cgroupfs", {}, "this host has no cgroup controller memory"),
        (socket_of_ours, "cgroupfs", {"memory": ("/inner", tmp_path)}, "sees but a part of the control groups"),
        (f"unix://{tmp_path}/nobody.sock", "cgroupfs", {}, "No such file or directory"),
    ):
        groups = PodGroups("x", host, lambda said=driver: machine(said), lambda said=mounts: said)  # type: ignore[misc]
        assert groups.ensure(template((REQUESTS, "{}"), (LIMITS, "")), "web-1") == ""
        with pytest.raises(ConfigError) as caught:
            groups.ensure(template(), "web-1")
        assert (caught.value.code, caught.value.subject) == ("pod-limits-not-held", "web-1")
        assert reason in caught.value.message
        groups.remove("web-1")


@root
def test_controllers_are_passed_on_to_a_group_of_version_2(socket_of_ours: str, tmp_path: Path) -> None:
    """On files that are laid out as the kernel's: the machine that tests this may have the other version."""
    home = tmp_path / "docker/imageforge-x-web-1"
    home.mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "docker"):
        (folder / "cgroup.subtree_control").write_text("")
    (tmp_path / "cgroup.subtree_control").write_text("memory cpu pids\n")
    for file in ("memory.max", "memory.swap.max", "cpu.weight", "cpu.max", "pids.max"):
        (home / file).write_text("max\n")
    groups = PodGroups("x", socket_of_ours, lambda: machine("cgroupfs", unified=True), lambda: {"": ("/", tmp_path)})
    assert groups.ensure(template(), "web-1") == "/docker/imageforge-x-web-1"
    assert {file.name: file.read_text() for file in home.iterdir()} == {
        "memory.max": str(200 * MI),
        "memory.swap.max": "0",
        "cpu.weight": "20",
        "cpu.max": "100000 100000",
        "pids.max": "64",
    }
    given = [(folder / "cgroup.subtree_control").read_text() for folder in (tmp_path, tmp_path / "docker")]
    assert given == ["memory cpu pids\n", "+pids"], "those that are there are left alone"


def kernel(controller: str, place: str) -> Path:
    """The real folder of a control group."""
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text())
    _, point = mounts.get(controller) or mounts[""]
    return point / place.lstrip("/")


@engine
@root
def test_the_kernel_holds_all_containers_of_a_pod_together(
    stack: Stack, app_image: str, docker_client: docker.DockerClient
) -> None:
    # Of 96 MiB for both, 60 MiB each are too much: each alone would be within what it may take. One after the other: of
    # two that grow at once the kernel may kill the second before it has the memory of the first.
    greedy = "[python3, -c, 'import time; time.sleep(%d); held = bytearray(60 << 20); time.sleep(600)']"
    text = WHOLE.replace("IMAGE", app_image).replace("memory: 200Mi", "memory: 96Mi")
    text = text.replace(REQUESTS, "").replace("memory: 40Mi", "memory: 4Mi")
    seconds = iter((0, 5))
    text = re.sub(r"\[sleep, infinity\]", lambda _: greedy % next(seconds), text)
    stack.client.apply(text)

    def ended() -> list[int]:
        containers = stack.client.pods("default")[0].containers
        return [each.exit_code or 0 for each in containers if each.role == "main" and each.done]

    wait_for(ended, timeout=60)
    assert ended() == [137]
    (pod,) = stack.client.pods("default")
    assert pod.qos == "Burstable"
    main = docker_client.containers.get(next(each.container_id for each in pod.containers if each.name == "main"))
    group = main.attrs["HostConfig"]["CgroupParent"]
    assert main.attrs["HostConfig"]["Memory"] == 96 * MI
    if docker_client.info()["CgroupVersion"] == "1":
        assert int((kernel("memory", group) / "memory.limit_in_bytes").read_text()) == 96 * MI
        assert int((kernel("cpu", group) / "cpu.cfs_quota_us").read_text()) == 100_000
    assert (kernel("pids", group) / "pids.max").read_text().strip() == "64"
    # The containers, and the one that has their network, are below it.
    assert len([entry for entry in kernel("pids", group).iterdir() if entry.is_dir()]) == 2
    stack.client.delete("default", "Pod", "whole")
    wait_for(lambda: not stack.client.pods("default"), timeout=60)
    assert [name for name in ("memory", "cpu", "pids", "cpuset") if kernel(name, group).exists()] == []

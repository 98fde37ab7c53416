"""Quantities, what requests and limits become in the kernel, and who finds room on the machine."""

from __future__ import annotations

import os
import socket
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ManifestError, load_manifests
from runtime.machine import CAP_SYS_RESOURCE, may_lower
from runtime.manifest.model import ContainerSpec, Deployment, PodTemplate
from runtime.manifest.quantity import milli, quantity, shown_cpu, shown_memory, whole
from runtime.manifest.resource_field import resource_value
from runtime.manifest.resources import Resources
from runtime.resources import Amounts, Limits, Machine, Qos, asked, limits, oom_score_adj, qos, why_not
from runtime.room import Room

GI = 1024**3
MI = 1024**2
MACHINE = Machine(size=Amounts(cpu=2000, memory=4 * GI), labels={"kubernetes.io/os": "linux", "disk": "ssd"})


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ("1", 1), ("0.5", Fraction(1, 2)), (".5", Fraction(1, 2)), ("5.", 5), ("500m", Fraction(1, 2)),
        ("1k", 1000), ("1M", 10**6), ("1G", 10**9), ("1T", 10**12), ("1P", 10**15), ("1E", 10**18),
        ("1Ki", 1024), ("1.5Mi", 3 * 2**19), ("1Gi", GI), ("1Ti", 2**40), ("1Pi", 2**50), ("1Ei", 2**60),
        ("1e3", 1000), ("1E3", 1000), ("12e-1", Fraction(12, 10)), ("100n", Fraction(1, 10**7)), ("+1", 1), ("-1", -1),
        ("7u", Fraction(7, 10**6)), (2, 2), (0.25, Fraction(1, 4)), (1e22, None), ("8Ei", None), ("1e999", None),
        ("", None), ("m", None), ("1 Gi", None), ("1gi", None), ("1K", None), ("0x1", None), ("1e", None),
        ("1_000", None), ("nan", None), (float("inf"), None), (True, None), ("1Gi\n", None), ("1e9999", None),
    ],
)  # fmt: skip
def test_quantities(said: str | float, amount: Fraction | int | None) -> None:
    assert quantity(said) == amount


def test_what_is_finer_is_rounded_up() -> None:
    assert (milli(Fraction(1, 10_000)), milli(Fraction(1, 2)), whole(Fraction(3, 2))) == (1, 500, 2)


@given(st.integers(0, 10**6))
def test_what_is_shown_reads_back(number: int) -> None:
    assert milli(quantity(shown_cpu(number)) or Fraction(0)) == number
    assert quantity(shown_memory(number * MI)) == number * MI


HEAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {disk: ssd}
      containers:
        - name: web
          image: web:1
"""


def template(resources: str) -> PodTemplate:
    deployment = load_manifests(f"{HEAD}          resources: {resources}\n", "web.yaml")[0].object
    assert isinstance(deployment, Deployment)
    return deployment.template


@pytest.mark.parametrize(
    ("said", "code", "message"),
    [
        ("{limits: {cpu: lots}}", "invalid-value", "resources.limits.cpu is lots, expected a quantity"),
        ("{limits: {cpu: -1}}", "invalid-value", "expected 0 or more"),
        ("{limits: {cpu: true}}", "wrong-type", "the boolean true, expected a quantity"),
        ("{limits: {cpu: [1]}}", "wrong-type", "a list, expected a quantity"),
        ("{limits: {cpu: 1}, requests: {cpu: 2}}", "invalid-value", "requests.cpu is 2, more than the limit, which is"),
        ("{limits: {memory: 1Gi}, requests: {memory: 1.5Gi}}", "invalid-value", "more than the limit"),
        ("{limits: {ephemeral-storage: 1}, requests: {ephemeral-storage: 2}}", "invalid-value", "more than the limit"),
        ("{limits: {hugepages-2Mi: 1Gi}}", "unsupported-field", "hugepages-2Mi"),
        ("{limits: {memroy: 1Gi}}", "unknown-field", "memroy"),
        ("{claims: [{name: a}]}", "unsupported-field", "resources.claims"),
        ("{limit: {cpu: 1}}", "unknown-field", "resources.limit "),
    ],
)
def test_refused_by_name_with_its_line(said: str, code: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        template(said)
    assert (caught.value.code, caught.value.subject) == (code, "web.yaml:13"), caught.value
    assert message in caught.value.message


def test_a_limit_is_a_request_where_there_is_none() -> None:
    said = template("{limits: {cpu: 0.5, memory: 64Mi}, requests: {memory: 32Mi}}").container.resources
    assert said == Resources(cpu_request=500, cpu_limit=500, memory_request=32 * MI, memory_limit=64 * MI)
    assert template("{}").container.resources == Resources()
    assert template("{requests: {cpu: 0.0001}}").container.resources.cpu_request == 1


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("{}", Qos.BEST_EFFORT),
        ("{requests: {cpu: 0}}", Qos.BEST_EFFORT),
        ("{requests: {cpu: 100m}}", Qos.BURSTABLE),
        ("{limits: {cpu: 1}}", Qos.BURSTABLE),
        ("{limits: {cpu: 1, memory: 1Gi}}", Qos.GUARANTEED),
        ("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1000m, memory: 1024Mi}}", Qos.GUARANTEED),
        ("{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1, memory: 1Mi}}", Qos.BURSTABLE),
        ("{requests: {cpu: 1, memory: 1Gi}}", Qos.BURSTABLE),
    ],
)
def test_qos(said: str, kind: Qos) -> None:
    assert qos(template(said)) is kind


def test_shares_quota_and_memory_are_kubernetes_figures() -> None:
    said = Resources(cpu_request=250, cpu_limit=500, memory_request=32 * MI, memory_limit=64 * MI)
    assert limits(said, Qos.BURSTABLE, 4 * GI) == Limits(
        cpu_shares=256, cpu_quota=50_000, memory=64 * MI, oom_score_adj=993
    )
    least = limits(Resources(cpu_request=1, cpu_limit=1), Qos.BURSTABLE, GI)
    assert (least.cpu_shares, least.cpu_quota, least.memory) == (2, 1000, None)
    assert limits(Resources(), Qos.BEST_EFFORT, GI) == Limits(oom_score_adj=1000)


def test_who_asks_for_more_is_ended_later() -> None:
    adjs = [oom_score_adj(Qos.BURSTABLE, share * GI // 10, GI) for share in range(11)]
    assert adjs == [999, 901, 801, 701, 601, 500, 401, 301, 201, 101, 3]
    assert (oom_score_adj(Qos.GUARANTEED, 0, GI), oom_score_adj(Qos.BEST_EFFORT, 0, GI)) == (-997, 1000)


@given(st.integers(0, 2**40), st.integers(1, 2**40))
def test_the_classes_stay_in_their_order(request: int, size: int) -> None:
    assert -997 < oom_score_adj(Qos.BURSTABLE, request, size) < 1000


def test_what_does_not_fit_says_what_is_missing() -> None:
    large = template("{requests: {cpu: 1500m, memory: 1Gi}}")
    assert why_not(large, MACHINE, ()) == ""
    assert why_not(large, MACHINE, (asked(large),)) == (
        "0/1 nodes are available: 1 Insufficient cpu (asks for 1500m, 500m of 2 is free)"
    )
    assert why_not(template("{requests: {cpu: 3, memory: 5Gi}}"), MACHINE, ()) == (
        "0/1 nodes are available: 1 Insufficient cpu (asks for 3, 2 of 2 is free), "
        "1 Insufficient memory (asks for 5Gi, 4Gi of 4Gi is free)"
    )
    full = (Amounts(cpu=9000, memory=9 * GI),)
    assert "0 of 2 is free" in why_not(large, MACHINE, full)
    assert why_not(template("{}"), MACHINE, full) == "", "who asks for nothing always fits"


def test_a_selector_is_held_against_this_machine() -> None:
    other = Machine(size=MACHINE.size, labels={"disk": "hdd"})
    assert why_not(template("{}"), other, ()) == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector "
        "(disk=ssd is not among the labels of this machine)"
    )


def pod(cpu: int) -> PodTemplate:
    return PodTemplate(container=ContainerSpec(name="a", image="a", resources=Resources(cpu_request=cpu)), labels={})


def test_who_waits_goes_on_when_another_leaves() -> None:
    room = Room(lambda: MACHINE)
    assert room.ask("one", pod(1500)) == ""
    assert room.ask("one", pod(1500)) == "", "asked again, it has its place"
    assert "Insufficient cpu" in room.ask("two", pod(1000))
    seen = room.wait(-1, 0)
    woken = threading.Event()
    thread = threading.Thread(target=lambda: (room.wait(seen, 30), woken.set()))
    thread.start()
    room.leave("one")
    assert woken.wait(30)
    thread.join()
    assert room.ask("two", pod(1000)) == ""
    room.leave("nobody")


def test_what_runs_keeps_its_place_however_small_the_machine_is() -> None:
    room = Room(lambda: MACHINE)
    room.hold("one", pod(5000))
    assert "0 of 2 is free" in room.ask("two", pod(1))
    room.leave("one")
    assert room.ask("two", pod(1)) == ""


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 1500)), max_size=60))
def test_no_more_is_given_than_there_is(steps: list[tuple[int, bool, int]]) -> None:
    room = Room(lambda: MACHINE)
    held: dict[str, int] = {}
    for number, comes, cpu in steps:
        name = f"pod{number}"
        if not comes:
            room.leave(name)
            held.pop(name, None)
        elif name not in held:
            fits = sum(held.values()) + cpu <= 2000
            assert (room.ask(name, pod(cpu)) == "") is fits
            if fits:
                held[name] = cpu


def test_what_the_engine_may_is_seen_at_the_other_end_of_its_socket(short_path: Path) -> None:
    status = Path("/proc/self/status").read_text()
    ours = int(status.partition("CapEff:")[2].split()[0], 16) >> CAP_SYS_RESOURCE & 1
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short_path / "engine.sock"))
        server.listen()
        assert may_lower(f"unix://{short_path}/engine.sock") is bool(ours), os.getpid()
    assert not may_lower(f"unix://{short_path}/nothing.sock")
    assert not may_lower("tcp://127.0.0.1:2375")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("resource: limits.cpu", "2"),
        ("resource: limits.cpu, divisor: 1m", "1500"),
        ("resource: requests.cpu, divisor: '1'", "1"),
        ("resource: limits.memory, divisor: 1Mi", "101"),
        ("resource: limits.memory", str(100 * 1024**2 + 1)),
        ("resource: requests.memory, divisor: 1k", "1"),
        ("resource: limits.cpu, containerName: bare", "4"),
        ("resource: limits.memory, containerName: bare, divisor: 1Gi", "8"),
        ("resource: requests.cpu, containerName: bare", "0"),
    ],
)
def test_what_a_container_is_told_of_its_resources(said: str, expected: str) -> None:
    text = f"""
apiVersion: v1
kind: Pod
metadata: {{name: a}}
spec:
  containers:
    - name: main
      image: a:1
      env: [{{name: A, valueFrom: {{resourceFieldRef: {{{said}}}}}}}]
      resources: {{limits: {{cpu: 1500m, memory: {100 * 1024**2 + 1}}}, requests: {{cpu: 10m, memory: 1}}}}
    - {{name: bare, image: a:1}}
"""
    template = load_manifests(text)[0].object.template  # type: ignore[union-attr]
    ((_, field),) = template.container.env
    own = next(spec.resources for spec in template.all_containers if spec.name == (field.container or "main"))
    assert resource_value(field, own, lambda: (4000, 8 * 1024**3)) == expected

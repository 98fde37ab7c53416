"""The small pure parts: back-off, expansion, readiness, sockets, containers, the wire, settings."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from runtime import (
    AutoscalerStatus,
    Condition,
    ImageError,
    ManifestError,
    MetricStatus,
    NotFound,
    RolloutPhase,
    RuntimeFailure,
    RuntimeSettings,
    ServiceFigures,
    load_manifests,
)
from runtime.container import (
    Identity,
    ImageFacts,
    container_request,
    container_state,
    parse_time,
    refuse_root,
    split_timestamp,
)
from runtime.environment import environment, expand
from runtime.labels import Label
from runtime.manifest.model import ContainerSpec, Deployment, PodTemplate
from runtime.model import DeploymentStatus, LogLine, ReplicaStatus, ServiceCounters
from runtime.policy import Policy
from runtime.restart import Backoff
from runtime.sockets import listening, parse_listening
from runtime.sources import Sources
from runtime.wire import pack, pack_failure, unpack, unpack_failure
from tests.runtime.stack import make_settings, manifest


def template(**options: object) -> PodTemplate:
    deployment = load_manifests(manifest("web:1", **options))[0].object  # type: ignore[arg-type]
    assert isinstance(deployment, Deployment)
    return deployment.template


NOTHING = Sources(namespace="shop")


def test_backoff_is_kubernetes_sequence() -> None:
    backoff, delays = Backoff(), []
    for _ in range(9):
        backoff = backoff.after_end(ran_for=1.0)
        delays.append(backoff.delay)
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300, 300]
    assert backoff.restarts == 9


def test_backoff_is_forgotten_after_ten_minutes_of_running() -> None:
    backoff = Backoff(restarts=5, delay=80)
    assert backoff.after_end(599).delay == 160
    assert backoff.after_end(600).delay == 0
    assert backoff.after_end(600).after_end(1).delay == 10
    assert backoff.after_end(600).restarts == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"), ("$(A)$(B)", "12"), ("$$(A)", "$(A)"), ("$(NOPE)", "$(NOPE)"), ("$A", "$A"), ("$(A", "$(A"),
        ("$", "$"), ("$$", "$"), ("$$$(A)", "$1"), ("x$(A)y", "x1y"), ("$()", "$()"), ("", ""),
    ],
)  # fmt: skip
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_a_variable_sees_those_before_it_and_the_later_of_two_wins() -> None:
    spec = ContainerSpec(name="a", image="a", env=(("A", "$(B)"), ("B", "1"), ("C", "$(B)$(B)"), ("B", "2")))
    assert environment(spec, NOTHING).variables == {"A": "$(B)", "B": "2", "C": "11"}


def test_listening_is_read_from_the_kernel() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("::1", 0), family=socket.AF_INET6) as two:
        found = listening(os.getpid())
        assert f"127.0.0.1:{one.getsockname()[1]}" in found
        assert f"[::1]:{two.getsockname()[1]}" in found
    assert listening(2**22 + 1) == ()


def test_listening_leaves_out_the_engines_resolver_and_what_does_not_listen() -> None:
    text = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
        "   0: 0B00007F:A3D1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
        "   1: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
        "   2: 020012AC:0BB8 010012AC:C350 01 00000000:00000000 00:00000000 00000000     0\n"
    )
    assert parse_listening(text) == [(3000, "127.0.0.1:3000")]


WHO = Identity(instance="abc", namespace="shop", deployment="web", replica="web-x-1", template_hash="x", revision=4)
IMAGE = ImageFacts(image_id="x", user="10001")


def test_container_as_kubernetes_would_make_it() -> None:
    request = container_request(
        template(env={"A": "1", "B": "$(A)"}, container='command: [run, "$(B)"]'),
        WHO,
        NOTHING,
        {},
        image=IMAGE,
        policy=Policy(),
    )
    assert (request.name, request.hostname) == ("imageforge-abc-web-x-1", "web-x-1")
    assert request.network == "imageforge-abc-shop"
    assert (request.entrypoint, request.command) == (("run", "1"), ())
    assert request.env == {"A": "1", "B": "1"}
    assert (request.read_only, request.confinement.no_new_privileges, request.user) == (True, True, None)
    assert request.labels[Label.REVISION] == "4"
    assert request.labels[Label.DIGEST] == ""


def test_args_alone_keep_the_entrypoint_and_neither_keeps_both() -> None:
    alone = container_request(template(container="args: [a]"), WHO, NOTHING, {}, image=IMAGE, policy=Policy())
    assert (alone.entrypoint, alone.command) == (None, ("a",))
    neither = container_request(template(), WHO, NOTHING, {}, image=IMAGE, policy=Policy())
    assert (neither.entrypoint, neither.command) == (None, None)


@pytest.mark.parametrize(
    ("user", "code"),
    [
        ("", "image-runs-as-root"), ("0", "image-runs-as-root"), ("0:5", "image-runs-as-root"),
        ("root", "image-runs-as-root"), ("www", "image-user-not-numeric"), ("www:5", "image-user-not-numeric"),
    ],
)  # fmt: skip
def test_run_as_non_root_refuses(user: str, code: str) -> None:
    with pytest.raises(ImageError, match="runAsNonRoot") as caught:
        refuse_root(template().container, ImageFacts(image_id="x", user=user))
    assert caught.value.code == code


def test_run_as_non_root_passes() -> None:
    refuse_root(template().container, ImageFacts(image_id="x", user="10001:0"))


def test_times() -> None:
    assert parse_time("2024-05-01T10:00:00.123456789Z") == pytest.approx(1714557600.123456789)
    assert parse_time("2024-05-01T12:00:00.5+02:00") == 1714557600.5
    assert parse_time("2024-05-01T10:00:00Z") == 1714557600.0
    assert parse_time("0001-01-01T00:00:00Z") is None
    assert split_timestamp("2024-05-01T10:00:00Z a b\n") == (1714557600_000000000, "a b\n")
    assert split_timestamp("2024-05-01T12:00:00.000000123+02:00 x")[0] == 1714557600_000000123
    assert split_timestamp("2024-05-01T10:00:00.5Z x")[0] == 1714557600_500000000


def test_container_state_of_new_and_old_engines() -> None:
    state = container_state(
        {"Id": "i", "State": {"Running": True, "Pid": 7, "StartedAt": "2024-05-01T10:00:00Z"},
         "Config": {"Labels": None}, "NetworkSettings": {"Networks": {"n": {"IPAddress": "10.0.0.2"}}}}
    )  # fmt: skip
    assert (state.running, state.pid, state.address, state.finished_at) == (True, 7, "10.0.0.2", None)


def test_the_wire_carries_values_and_errors_unchanged() -> None:
    replica = ReplicaStatus(name="a", namespace="n", deployment="d", revision=1, phase="Ready", ready=True, restarts=0,
                            image="i", listening=("0.0.0.0:1",), last_log=("x", "y"))  # fmt: skip
    status = DeploymentStatus(name="d", namespace="n", generation=1, observed_generation=1, revision=1,
                              phase=RolloutPhase.STALLED, desired=1, current=1, updated=1, ready=1, available=1,
                              replica_list=(replica,))  # fmt: skip
    counters = ServiceCounters(
        requests=1, failed=0, retried=0, redispatched=0, errors_5xx=0, in_flight=0, per_replica={"a": 1}
    )
    metric = MetricStatus(source="Pods", name="q", container="", target_utilization=None, target_average=1)
    said = Condition(type="t", status="True", reason="r", message="m")
    autoscaler = AutoscalerStatus(name="a", namespace="n", target="d", min_replicas=1, max_replicas=2, current=None,
                                  desired=0, metrics=(metric,), conditions=(said,), created_at=1.5)  # fmt: skip
    figures = ServiceFigures(name="a", namespace="n", replicas=1, counters=counters, requests_per_second=0.5,
                             errors_per_second=None, retries_per_second=None, window=1.0)  # fmt: skip
    line = LogLine(replica="a", text="é\n", stream="stdout", at=1.5)
    for value in (status, counters, autoscaler, figures, line, "text", None):
        assert unpack(pack(value)) == value
    for failure in (
        NotFound("not-found", "s", "m", hint="h"),
        ManifestError("c", "s", "m", kept="k"),
        RuntimeFailure("c", "s", "m"),
    ):
        same = unpack_failure(pack_failure(failure))
        assert type(same) is type(failure)
        assert (same.code, same.subject, same.message, same.hint, same.kept, same.kind) == (
            failure.code, failure.subject, failure.message, failure.hint, failure.kept, failure.kind,
        )  # fmt: skip


def test_what_a_newer_controller_says_beyond_us_is_left_out_and_nonsense_is_refused() -> None:
    replica = ReplicaStatus(name="a", namespace="n", deployment="d", revision=1, phase="Ready", ready=True, restarts=0,
                            image="i")  # fmt: skip
    status = DeploymentStatus(name="d", namespace="n", generation=1, observed_generation=1, revision=1,
                              phase=RolloutPhase.COMPLETE, desired=1, current=1, updated=1, ready=1, available=1,
                              replica_list=(replica,))  # fmt: skip
    newer = pack(status)
    newer["zone"] = "b"
    newer["replica_list"][0]["node"] = {"name": "two"}
    assert unpack(newer) == status
    line = LogLine(replica="a", text="x", stream="stdout", at=1.5)
    assert unpack({**pack(line), "level": "info"}) == line
    for nonsense in (
        {},
        {"class": "Nobody"},
        {"class": ["LogLine"]},
        {"class": "LogLine", "replica": "a"},
        {**pack(status), "phase": "sideways"},
        {**pack(status), "replica_list": [1]},
        {**pack(status), "replica_list": None},
    ):
        with pytest.raises(RuntimeFailure) as caught:
            unpack(nonsense)
        assert caught.value.code == "controller-speaks-differently"


def test_settings_read_back_the_same(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, "abc", "unix:///x", 1)
    assert RuntimeSettings.from_json(settings.to_json()) == settings

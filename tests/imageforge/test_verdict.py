"""When a rollout is done, failed, or worth waiting for."""

from __future__ import annotations

import pytest

from imageforge.pipeline.verdict import Verdict, judge, listens_on
from runtime import DeploymentStatus, ReplicaStatus, RolloutPhase

NOW = 1000.0


def replica(**changes: object) -> ReplicaStatus:
    values: dict[str, object] = {
        "name": "web-1",
        "namespace": "default",
        "deployment": "web",
        "revision": 2,
        "phase": "Running",
        "ready": False,
        "restarts": 0,
        "image": "i",
        "started_at": NOW - 30,
    }
    return ReplicaStatus(**{**values, **changes})  # type: ignore[arg-type]


def status(*replicas: ReplicaStatus, **changes: object) -> DeploymentStatus:
    values: dict[str, object] = {
        "name": "web",
        "namespace": "default",
        "generation": 2,
        "observed_generation": 2,
        "revision": 2,
        "phase": RolloutPhase.PROGRESSING,
        "desired": 1,
        "current": 1,
        "updated": 1,
        "ready": 0,
        "available": 0,
        "replica_list": replicas,
    }
    return DeploymentStatus(**{**values, **changes})  # type: ignore[arg-type]


def test_complete_is_done_only_for_the_newest_generation() -> None:
    assert judge(status(phase=RolloutPhase.COMPLETE), port=80, now=NOW).done
    assert not judge(status(phase=RolloutPhase.COMPLETE, observed_generation=1), port=80, now=NOW).done


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"restarts": 2, "phase": "CrashLoopBackOff", "exit_code": 3, "last_log": ("boom",)}, "replica-exits"),
        ({"restarts": 2, "phase": "OOMKilled"}, "replica-out-of-memory"),
        ({"phase": "ImagePullBackOff"}, "image-unavailable"),
        ({"phase": "CreateContainerConfigError"}, "replica-not-created"),
        ({"listening": ("127.0.0.1:3000",)}, "port-not-listening"),
        ({"listening": ("0.0.0.0:3000",)}, "port-not-listening"),
        ({"listening": ("127.0.0.1:8080",)}, "port-not-listening"),
    ],
)
def test_what_is_not_waited_for(changes: dict[str, object], code: str) -> None:
    verdict = judge(status(replica(**changes)), port=8080, now=NOW)
    assert (verdict.failed, verdict.code) == (True, code)
    assert verdict.hint
    assert verdict.log == changes.get("last_log", ())


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at": NOW - 2, "listening": ("127.0.0.1:3000",)},
        {"listening": ()},
        {"listening": ("0.0.0.0:8080", "127.0.0.1:9")},
        {"listening": ("[::]:8080",)},
        {"restarts": 1, "phase": "Running"},
        {"revision": 1, "restarts": 9, "phase": "CrashLoopBackOff"},
    ],
)
def test_what_is_waited_for(changes: dict[str, object]) -> None:
    verdict = judge(status(replica(**changes)), port=8080, now=NOW)
    assert not verdict.failed
    assert not verdict.done


def test_a_stall_tells_the_probe_s_message() -> None:
    stalled = status(replica(message="GET /healthz answered 500"), phase=RolloutPhase.STALLED)
    verdict = judge(stalled, port=8080, now=NOW)
    assert verdict.code == "rollout-stalled"
    assert "answered 500" in verdict.message


def test_loopback_is_not_listening() -> None:
    assert not listens_on(("127.0.0.1:8080", "[::1]:8080"), 8080)
    assert listens_on(("172.18.0.2:8080",), 8080)


def test_a_process_without_a_port_may_listen_where_it_likes() -> None:
    listens = replica(listening=("127.0.0.1:5555",))
    assert judge(status(listens), port=8080, now=NOW).code == "port-not-listening"
    assert judge(status(listens), port=None, now=NOW) == Verdict()
    stalled = status(listens, phase=RolloutPhase.STALLED, name="shop-worker", app="shop")
    verdict = judge(stalled, port=None, now=NOW)
    assert (verdict.code, verdict.subject) == ("rollout-stalled", "shop-worker")
    assert "imageforge logs shop;" in verdict.hint

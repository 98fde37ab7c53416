"""The counts, the phase and the one message of a Deployment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtime import RolloutPhase, load_manifests
from runtime.balancer.config import Server
from runtime.held import Held, Revision
from runtime.manifest.model import Deployment, Service
from runtime.manifest.template import template_hash
from runtime.roster import Replica
from runtime.routes import wanted_backends
from runtime.status import Counts, Progress, count, deployment_status, phase_of
from tests.runtime.stack import manifest


def held(**options: object) -> Held:
    deployment = load_manifests(manifest("web:1", **options))[0].object  # type: ignore[arg-type]
    assert isinstance(deployment, Deployment)
    name = template_hash(deployment.template)
    revision = Revision(number=1, hash=name, deployment=deployment)
    return Held(deployment=deployment, hash=name, generation=1, deleting=False, revisions={name: revision})


def replica(of: Held, name: str, **fields: object) -> Replica:
    made = Replica(name=name, namespace="default", deployment="hello", template_hash=of.hash,
                   template=of.deployment.template, created_at=0.0)  # fmt: skip
    up = {
        "running": True,
        "ready": True,
        "ready_since": 100.0,
        "admitted": True,
        "address": "10.0.0.9",
        "phase": "Ready",
    }
    return replace(made, **{**up, **fields})  # type: ignore[arg-type]


def counts(current: int, updated: int, available: int) -> Counts:
    return Counts(current=current, updated=updated, ready=available, available=available)


@pytest.mark.parametrize(
    ("later", "nearer"),
    [
        (counts(4, 1, 3), False), (counts(4, 2, 3), True), (counts(3, 1, 3), True), (counts(4, 1, 4), True),
        (counts(4, 1, 2), False), (counts(5, 1, 3), False),
    ],
)  # fmt: skip
def test_what_counts_as_progress(later: Counts, nearer: bool) -> None:
    before = Progress(at=10.0, generation=1, counts=counts(4, 1, 3))
    assert before.step(later, 1, 20.0).at == (20.0 if nearer else 10.0)
    assert before.step(later, 2, 20.0).at == 20.0


def test_phases() -> None:
    of = held(replicas=2, extra="progressDeadlineSeconds: 30")
    progress = Progress(at=100.0, generation=1, counts=counts(2, 2, 1))
    assert phase_of(of, counts(2, 2, 2), progress, 1e9) is RolloutPhase.COMPLETE
    assert phase_of(of, counts(2, 2, 1), progress, 129.9) is RolloutPhase.PROGRESSING
    assert phase_of(of, counts(2, 2, 1), progress, 130.0) is RolloutPhase.STALLED
    assert phase_of(of, counts(3, 2, 3), progress, 101.0) is RolloutPhase.PROGRESSING
    assert phase_of(replace(of, deleting=True), counts(0, 0, 0), progress, 1e9) is RolloutPhase.PROGRESSING


def test_available_is_ready_for_long_enough_and_reached() -> None:
    of = held(replicas=5, extra="minReadySeconds: 10")
    there = [
        replica(of, "a"), replica(of, "b", ready_since=105.0), replica(of, "c", admitted=False),
        replica(of, "d", ready=False, ready_since=None), replica(of, "e", terminating=True),
    ]  # fmt: skip
    assert count(of, there, 110.0) == Counts(current=4, updated=4, ready=3, available=1)


def test_a_clock_that_was_set_back_makes_no_replica_unavailable() -> None:
    of = held(replicas=1, extra="minReadySeconds: 10")
    assert count(of, [replica(of, "a")], 100.0 - 86400).available == 1


def message(of: Held, replicas: list[Replica], trouble: str = "", now: float = 101.0) -> str:
    progress = Progress(at=100.0, generation=1, counts=count(of, replicas, now))
    service = load_manifests(manifest("web:1"))[1].object
    assert isinstance(service, Service)
    return deployment_status(of, replicas, [service], progress, 1, trouble, now).message


def test_the_message_is_the_most_telling_one() -> None:
    of = held(replicas=2, extra="progressDeadlineSeconds: 30")
    fine, broken = replica(of, "fine"), replica(of, "broken", ready=False, ready_since=None, message="probe failed")
    assert message(of, [fine, replica(of, "also")]) == ""
    assert message(of, [fine]) == "1 of 2 available, 1 updated"
    assert message(of, [fine, broken]) == "broken: probe failed"
    assert message(of, [fine, broken], now=131.0) == "no progress for 30 s; broken: probe failed"
    assert message(of, [fine], trouble="HAProxy does not answer") == "HAProxy does not answer"
    assert message(replace(of, deleting=True), [fine]) == "being deleted: 1 of its replicas are still there"


def test_routes_hold_those_that_serve() -> None:
    of = held()
    documents = load_manifests(manifest("web:1"))
    service = documents[1].object
    assert isinstance(service, Service)
    there = [
        replica(of, "b"), replica(of, "a", address="10.0.0.1"), replica(of, "ends", terminating=True),
        replica(of, "dead", running=False), replica(of, "unready", ready=False), replica(of, "new", address=""),
    ]  # fmt: skip
    (backend,) = wanted_backends([service], there, {})
    assert (backend.name, backend.hosts) == ("default_hello", ("hello.localhost",))
    assert backend.servers == (
        Server(name="a", address="10.0.0.1", port=8080), Server(name="b", address="10.0.0.9", port=8080),
    )  # fmt: skip
    assert wanted_backends([replace(service, hosts=())], there, {}) == ()
    assert wanted_backends([replace(service, namespace="other")], there, {})[0].servers == ()
    assert wanted_backends([replace(service, selector={"app": "x"})], there, {})[0].servers == ()

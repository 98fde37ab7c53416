"""The one who carries autoscalers out, with a clock that is set and figures that are written: what is stored, what is
said, and what outlives the controller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import Conflict
from runtime.autoscale.autoscalers import KIND, Autoscalers
from runtime.events import Recorder
from runtime.metrics.sampler import Sampler, Watched
from runtime.objects import Objects
from runtime.roster import Replica, Roster
from runtime.seal import Seal
from runtime.standing import ContainerRecord
from runtime.store import Store
from tests.runtime.stack import manifest
from tests.runtime.test_metrics import FIRST, Kernel

HPA = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: up}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: hello}
  maxReplicas: 5
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: AverageValue, averageValue: 100m}}
"""
PERIOD = 15.0


class Bench:
    """One replica that runs since long, and what its container has used."""

    def __init__(self, folder: Path) -> None:
        self.now = 100_000.0
        self.kernel = Kernel(folder, second=True)
        self.cpu = 0
        self.store = Store(folder / "x.db")
        self.objects = Objects(self.store, lambda: None, Seal(folder / "key"))
        self.objects.apply(manifest("hello:1", replicas=1, service=False) + "---" + HPA, "hello.yaml")
        self.roster = Roster(self.store)
        held = self.objects.deployment("default", "hello")
        record = ContainerRecord(name="hello", container_id=FIRST, running=True, ready=True, pid=7, started_at=1.0)
        self.replica = Replica(
            name="hello-1", namespace="default", deployment="hello", template_hash=held.hash,
            template=held.deployment.template, created_at=1.0, running=True, ready=True, ready_since=1.0,
            started_at=1.0, containers=(record,), container_id=FIRST,
        )  # fmt: skip
        self.roster.add(self.replica)
        self.events = Recorder(self.store, lambda: self.now)
        self.autoscalers = self.made()

    def made(self) -> Autoscalers:
        """As a controller makes it."""
        sampler = Sampler(
            lambda: [Watched(container_id=FIRST, pid=7)], dict, dict, period=PERIOD,
            proc=self.kernel.root / "proc", now=lambda: self.now, wait=lambda _: None,
        )  # fmt: skip
        return Autoscalers(
            self.objects, self.roster, sampler, self.store, self.events, period=PERIOD, now=lambda: self.now
        )

    def look(self, cores: float) -> None:
        """A period goes by in which the replica uses so much."""
        for _ in range(int(PERIOD)):
            self.now += 1
            self.cpu += int(cores * 1e9)
            self.kernel.uses(self.cpu, 1, 0)
            self.autoscalers.sync()

    @property
    def replicas(self) -> int:
        return self.objects.deployment("default", "hello").deployment.replicas

    def said(self) -> list[str]:
        return [event.reason for event in self.events.past("default", KIND)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.kernel.uses(0, 1, 0)
    yield made
    made.store.close()


def test_it_scales_as_anybody_does_and_a_later_controller_knows_when(bench: Bench) -> None:
    bench.autoscalers.sync()
    assert (bench.replicas, bench.said()) == (1, [])
    bench.look(0.25)
    assert (bench.replicas, bench.said()) == (3, ["SuccessfulRescale"])
    (status,) = bench.autoscalers.statuses(None)
    assert (status.current, status.desired, status.metrics[0].average) == (3, 3, 250)
    assert (status.created_at, status.last_scaled_at) == (100_000.0, 100_015.0)
    assert bench.autoscalers.owners("default", "hello") == ("up",)
    assert bench.autoscalers.owners("default", "other") == ()
    # The store has it, and an apply that names no number keeps it.
    again = Objects(bench.store, lambda: None, Seal(bench.kernel.root / "key"))
    assert again.deployment("default", "hello").deployment.replicas == 3
    bench.objects.apply(manifest("hello:1", replicas=None, service=False), "hello.yaml")
    assert bench.replicas == 3
    bench.objects.apply(manifest("hello:1", replicas=2, service=False), "hello.yaml")
    assert bench.replicas == 2
    bench.autoscalers = bench.made()
    bench.look(0.0)
    (status,) = bench.autoscalers.statuses("default")
    assert (status.created_at, status.last_scaled_at, status.desired) == (100_000.0, 100_015.0, 0)
    bench.look(0.0)
    (status,) = bench.autoscalers.statuses("default")
    assert (bench.replicas, status.desired) == (2, 2), "what is remembered begins with the size as it is"


def test_it_shrinks_once_the_window_is_over(bench: Bench) -> None:
    bench.objects.scale("default", "hello", 4)
    # Of four only one is there: three are new, and what they do is not known.
    for number in range(2, 5):
        bench.roster.add(Replica(**{**_fields(bench.replica), "name": f"hello-{number}"}))
    bench.autoscalers.sync()
    for _ in range(20):
        bench.look(0.01)
        assert bench.replicas == 4
    for _ in range(3):
        bench.look(0.01)
    assert bench.replicas == 1
    assert "SuccessfulRescale" in bench.said()


def test_one_that_is_gone_is_forgotten(bench: Bench) -> None:
    bench.look(0.25)
    assert bench.store.note("hpa default/up")
    bench.objects.delete("default", KIND, "up")
    bench.look(0.25)
    assert bench.store.note("hpa default/up") is None
    assert bench.autoscalers.statuses(None) == ()
    bench.objects.apply(HPA, "hpa.yaml")
    bench.autoscalers.sync()
    (status,) = bench.autoscalers.statuses(None)
    assert (status.created_at, status.last_scaled_at, status.conditions) == (bench.now, None, ())


def test_one_that_is_deleted_leaves_nothing_to_a_controller_that_begins_later(bench: Bench) -> None:
    bench.look(0.25)
    # The controller is killed before the one who scales has looked again.
    bench.objects.delete("default", KIND, "up")
    assert bench.store.note("hpa default/up") is None
    bench.autoscalers = bench.made()
    bench.objects.apply(HPA, "hpa.yaml")
    bench.autoscalers.sync()
    (status,) = bench.autoscalers.statuses(None)
    assert (status.created_at, status.last_scaled_at) == (bench.now, None)


def test_what_somebody_set_meanwhile_is_not_overwritten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bench.objects.scale

    def late(namespace: str, name: str, replicas: int, *, instead_of: int | None = None) -> None:
        real(namespace, name, 4)
        real(namespace, name, replicas, instead_of=instead_of)

    monkeypatch.setattr(bench.objects, "scale", late)
    with pytest.raises(Conflict):
        late("default", "hello", 3, instead_of=1)
    real("default", "hello", 1)
    bench.autoscalers.sync()
    bench.look(0.25)
    assert (bench.replicas, bench.said()) == (4, ["FailedRescale"])
    (status,) = bench.autoscalers.statuses(None)
    assert status.conditions[0].reason == "FailedUpdateScale"
    assert status.last_scaled_at is None


def test_one_whose_deployment_is_being_deleted_or_is_not_there(bench: Bench) -> None:
    bench.objects.delete("default", "Deployment", "hello")
    bench.autoscalers.sync()
    bench.look(0.25)
    (status,) = bench.autoscalers.statuses(None)
    assert (status.current, status.conditions[0].reason, bench.said()) == (None, "FailedGetScale", ["FailedGetScale"])


def _fields(replica: Replica) -> dict[str, object]:
    return {name: getattr(replica, name) for name in replica.__slots__}

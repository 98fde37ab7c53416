"""The container that follows at once, made while the engine takes the one before apart."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime import load_manifests
from runtime.container import ContainerRequest, ContainerState, ImageFacts, next_name, previous_name
from runtime.engine import NAME_TAKEN, Engine
from runtime.errors import ConfigError, EngineError, RuntimeFailure
from runtime.labels import Label
from runtime.life import Life, Surroundings
from runtime.manifest.model import Deployment
from runtime.manifest.restart_rule import Restarts
from runtime.restart import Backoff, RestartPolicy
from runtime.roster import Replica, Roster
from runtime.standing import ContainerRecord
from runtime.store import Store
from runtime.successor import Made, Successor
from tests.runtime.stack import manifest

IMAGE = ImageFacts(image_id="sha256:1", user="1")
NAME = "imageforge-i-hello-1"


class Scripted:
    """Remembers what was asked of it, in this order. `c1` runs at first; what ended is taken apart until `apart`, and
    `failing` are calls that it refuses."""

    def __init__(self, *failing: str) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.apart = threading.Event()
        self.made_beside = threading.Event()
        self.states = {"c1": self._state("c1", running=False, exit_code=137)}
        self._failing = failing

    def _state(self, container_id: str, *, running: bool, exit_code: int = 0) -> ContainerState:
        return ContainerState(
            id=container_id, labels={}, running=running, pid=7 if running else 0, exit_code=exit_code,
            oom_killed=not running, error="", started_at=100.0, finished_at=None if running else 200.0,
            address="10.0.0.2",
        )  # fmt: skip

    def _call(self, *call: str) -> None:
        self.calls.append(call)
        if call[0] in self._failing:
            raise EngineError("engine-refused", call[-1], "it will not")

    def ensure_image(self, *_: object, **__: object) -> ImageFacts:
        return IMAGE

    def ensure_network(self, *_: object) -> None:
        return None

    def inspect(self, container_id: str) -> ContainerState | None:
        if container_id == "c1":
            self.apart.wait(30)
        return self.states.get(container_id)

    def succeed(self, name: str, ended: str, container_id: str) -> None:
        self._call("succeed", name, ended, container_id)

    def start(self, container_id: str) -> None:
        self._call("start", container_id)
        self.states[container_id] = self._state(container_id, running=True)

    def remove(self, container_id: str) -> None:
        self._call("remove", container_id)


class Creation:
    def __init__(self, engine: Scripted, *, beside: Callable[[], str]) -> None:
        self._engine, self._beside = engine, beside

    def create(self, *_: object, beside: bool = False, **__: object) -> tuple[str, frozenset[bytes]]:
        made = "c3"
        try:
            made = self._beside() if beside else made
        finally:
            self._engine.calls.append(("beside" if beside else "create", made))
            self._engine.apart.set()
        return made, frozenset()

    def logins(self, *_: object) -> tuple[()]:
        return ()

    def pull_volumes(self, *_: object) -> None:
        pass

    def is_clamped(self, *_: object) -> bool:
        return False

    def last_log(self, container_id: str, *_: object, **__: object) -> tuple[str, ...]:
        return (f"last of {container_id}",)


class House:
    """A replica whose only container, `c1`, has just ended."""

    def __init__(self, folder: Path, engine: Scripted, beside: Callable[[], str], **record: Any) -> None:
        again = Restarts(policy=record.pop("again", RestartPolicy.ALWAYS))
        found = load_manifests(manifest("web:1", service=False, probe=False))[0].object
        assert isinstance(found, Deployment)
        self.store, self.engine, self.over = Store(folder / "state.db"), engine, False
        self.roster = Roster(self.store)
        known = ContainerRecord(
            **{"name": "hello", "container_id": "c1", "running": True, "started_at": 100.0, **record}
        )
        self.roster.add(
            Replica(
                name="hello-1", namespace="default", deployment="hello", template_hash="h", template=found.template,
                created_at=1.0, containers=(known,),
            )
        )  # fmt: skip
        around = SimpleNamespace(
            instance="i", engine=engine, roster=self.roster, revision_of=lambda _: 1, starts=threading.Semaphore(4),
            creation=Creation(engine, beside=beside), events=SimpleNamespace(say=lambda *_, **__: None),
            met=lambda *_: None, balancer=SimpleNamespace(withdraw=lambda _: None), may_start_again=lambda _: True,
        )  # fmt: skip
        self.life = Life(
            "hello-1", found.template.container, cast(Surroundings, around), lambda: self.over,
            again=again,
        )  # fmt: skip
        self.life.died("c1")
        self._thread = threading.Thread(target=self.life.live)
        self._thread.start()

    @property
    def record(self) -> ContainerRecord:
        replica = self.roster.get("hello-1")
        assert replica is not None
        return replica.record("hello")

    def until(self, reached: Callable[[ContainerRecord], bool]) -> ContainerRecord:
        seen = 0
        for _ in range(100):
            if reached(self.record):
                return self.record
            seen = self.roster.wait(seen, 0.1)
        raise AssertionError(self.record)

    def end(self) -> None:
        self.over = True
        self.engine.apart.set()
        self.life.leave()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.store.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def build(engine: Scripted, beside: Callable[[], str] = lambda: "c2", **record: Any) -> House:
        made.append(House(tmp_path, engine, beside, **record))
        return made[-1]

    yield build
    for each in made:
        each.end()


def test_it_is_made_before_the_end_is_known_and_started_after(house: Callable[..., House]) -> None:
    engine = Scripted()
    # The engine tells how the first one ended only once the next is made.
    record = house(engine).until(lambda record: record.pid > 0)
    assert engine.calls == [("beside", "c2"), ("succeed", NAME, "c1", "c2"), ("start", "c2")]
    assert (record.container_id, record.settled, record.image_id) == ("c2", "c1", IMAGE.image_id)
    assert (record.exit_code, record.last_log, record.backoff) == (137, ("last of c1",), Backoff(restarts=1))


def nothing() -> str:
    return ""


def unable() -> str:
    raise ConfigError("no-secret", "Secret x", "there is none")


@pytest.mark.parametrize("beside", [nothing, unable])
def test_where_it_cannot_be_made_beside_it_is_made_as_any_other(
    house: Callable[..., House], beside: Callable[[], str]
) -> None:
    engine = Scripted()
    record = house(engine, beside).until(lambda record: record.pid > 0)
    assert [call[0] for call in engine.calls] == ["beside", "create", "start"]
    assert (record.container_id, record.exit_code) == ("c3", 137)


def test_one_that_cannot_have_its_name_is_removed(house: Callable[..., House]) -> None:
    engine = Scripted("succeed")
    house(engine).until(lambda record: record.pid > 0)
    assert [call[0] for call in engine.calls] == ["beside", "succeed", "remove", "create", "start"]
    assert ("remove", "c2") in engine.calls


@pytest.mark.parametrize(
    "known",
    [{"backoff": Backoff(restarts=1), "started_at": 1e12}, {"again": RestartPolicy.NEVER}],
    ids=["one that waits", "one that is not started again"],
)
def test_none_is_made_for(house: Callable[..., House], known: dict[str, Any]) -> None:
    engine = Scripted()
    engine.apart.set()
    record = house(engine, **known).until(lambda record: record.settled == "c1")
    assert record.exit_code == 137
    assert not any(call[0] == "beside" for call in engine.calls)


def test_one_that_is_not_wanted_any_more_is_removed(house: Callable[..., House]) -> None:
    engine = Scripted()
    found: list[House] = []

    def stopped_meanwhile() -> str:
        built.wait(30)
        found[0].over = True
        return "c2"

    built = threading.Event()
    found.append(house(engine, stopped_meanwhile))
    built.set()
    found[0]._thread.join(30)
    assert engine.calls == [("beside", "c2"), ("remove", "c2")]


def test_it_is_taken_once_and_what_breaks_is_told_to_nobody() -> None:
    removed: list[str] = []
    made = Made(container_id="c2", image=IMAGE, given=frozenset())
    taken = Successor(lambda: made, removed.append)
    assert (taken.take(), taken.take()) == (made, None)
    taken.drop()
    assert removed == []
    Successor(lambda: made, removed.append).drop()
    assert removed == ["c2"]

    def broken() -> Made | None:
        raise EngineError("engine-unreachable", "c2", "gone")

    assert Successor(broken, removed.append).take() is None

    def refuse(_: str) -> None:
        raise RuntimeFailure("engine-refused", "c2", "it will not")

    Successor(lambda: made, refuse).drop()


@pytest.mark.engine
def test_names_on_a_real_engine(engine_host: str, instance: str, app_image: str) -> None:
    engine = Engine(engine_host)
    request = ContainerRequest(
        name=f"imageforge-{instance}-web", hostname="web", image=app_image, network="none",
        labels={Label.INSTANCE: instance, Label.REPLICA: "web"}, entrypoint=("sleep", "60"), command=(),
    )  # fmt: skip

    def names() -> dict[str, str]:
        return {state.name: state.id for state in engine.containers(instance)}

    def end(container_id: str) -> None:
        engine.start(container_id)
        engine.stop(container_id, 0)

    name = request.name
    try:
        first = engine.create(request, keep=True)
        end(first)
        second = engine.create_beside(request)
        assert engine.create_beside(request) == "", "nothing is removed for it"
        assert names() == {name: first, next_name(name): second}
        engine.succeed(name, first, second)
        assert names() == {previous_name(name): first, name: second}
        end(second)
        third = engine.create_beside(request)
        engine.succeed(name, second, third)
        assert names() == {previous_name(name): second, name: third}, "the one before the last is gone"
        end(third)
        # What was lost leaves its name, and another takes it.
        engine.remove(third)
        fourth = engine.create_beside(request)
        engine.succeed(name, third, fourth)
        assert names() == {previous_name(name): second, name: fourth}
        # As any other is made: one that never ran is not worth keeping.
        fifth = engine.create(request, keep=True)
        assert names() == {previous_name(name): second, name: fifth}
        # A name of somebody else's is not taken from them.
        with pytest.raises(EngineError) as caught:
            engine.create(replace(request, labels={**request.labels, Label.INSTANCE: "another"}))
        assert caught.value.code == NAME_TAKEN
        assert names() == {previous_name(name): second, name: fifth}
    finally:
        for container_id in engine.owned(instance):
            engine.remove(container_id)
        engine.close()

"""The rolling update, against thousands of generated histories and Kubernetes' own worked example."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.decide import Desired, Observed, Start, Stop, decide, resolve_bounds


def replica(
    name: str, revision: int = 1, *, available: bool = True, created_at: float = 0.0, **more: object
) -> Observed:
    return replace(
        Observed(
            name=name,
            template_hash=f"h{revision}",
            revision=revision,
            created_at=created_at,
            ready=available,
            available=available,
        ),
        **more,  # type: ignore[arg-type]
    )


def desired(replicas: int, revision: int = 1, surge: int = 1, unavailable: int = 0) -> Desired:
    return Desired(replicas=replicas, template_hash=f"h{revision}", max_surge=surge, max_unavailable=unavailable)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "bounds"),
    [
        (1, "25%", "25%", (1, 0)), (2, "25%", "25%", (1, 0)), (3, "25%", "25%", (1, 0)), (4, "25%", "25%", (1, 1)),
        (10, "25%", "25%", (3, 2)), (10, 3, 2, (3, 2)), (1, "0%", "25%", (0, 1)), (3, 0, "10%", (0, 1)),
        (2, 0, 5, (0, 2)), (0, "25%", "25%", (0, 1)), (3, "100%", "0%", (3, 0)),
    ],
)  # fmt: skip
def test_bounds(replicas: int, surge: int | str, unavailable: int | str, bounds: tuple[int, int]) -> None:
    assert resolve_bounds(replicas, surge, unavailable) == bounds


def test_nothing_there_starts_all() -> None:
    assert decide(desired(3), []) == (Start(count=3),)


def test_all_there_does_nothing() -> None:
    assert decide(desired(2), [replica("a"), replica("b")]) == ()


def test_deleted_stops_all_that_live() -> None:
    assert decide(None, [replica("a"), replica("b", terminating=True)]) == (Stop(name="a"),)


def test_scaling_down_takes_the_unready_then_the_often_restarted_then_the_youngest() -> None:
    there = [
        replica("old", created_at=1), replica("young", created_at=9), replica("unready", available=False),
        replica("shaky", created_at=1, restarts=3),
    ]  # fmt: skip
    assert decide(desired(3), there) == (Stop(name="unready"),)
    assert decide(desired(2), there) == (Stop(name="unready"), Stop(name="shaky"))
    assert decide(desired(1), there)[2:] == (Stop(name="young"),)


def test_broken_old_replicas_go_before_healthy_ones() -> None:
    there = [replica("healthy"), replica("broken", available=False), replica("new", 2)]
    assert decide(desired(2, 2), there) == (Stop(name="broken"),)


def test_a_crash_of_the_new_revision_keeps_the_old_one() -> None:
    there = [replica("a"), replica("b"), replica("c"), replica("new", 2, available=False)]
    assert decide(desired(3, 2), there) == ()


def test_the_documented_trace_of_three_replicas() -> None:
    """new 1, old 2, new 2, old 1, new 3, old 0 (kubernetes.io, Deployments)."""
    world = World(want=desired(3, 2), replicas=[replica(f"old{n}") for n in range(3)])
    trace = []
    while world.step():
        trace.append(tuple(sum(r.revision == revision for r in world.living()) for revision in (1, 2)))
        world.make_available()
    assert trace == [(3, 1), (2, 1), (2, 2), (1, 2), (1, 3), (0, 3)]


@dataclass
class World:
    """Replicas that do as they are told, and die when the history says so."""

    want: Desired | None
    replicas: list[Observed] = field(default_factory=list)
    clock: float = 0.0
    started: int = 0

    def living(self) -> list[Observed]:
        return [item for item in self.replicas if not item.terminating]

    def step(self) -> bool:
        """Carry out one decision; whether there was anything to do. Checks what our own actions may not do."""
        self.clock += 1
        available = sum(item.available for item in self.living())
        total = len(self.living())
        actions = decide(self.want, self.replicas)
        for action in actions:
            if isinstance(action, Start):
                assert action.count > 0
                assert self.want is not None
                self.replicas += [self._new(self.want) for _ in range(action.count)]
            else:
                index = next(at for at, item in enumerate(self.replicas) if item.name == action.name)
                assert not self.replicas[index].terminating
                self.replicas[index] = replace(self.replicas[index], terminating=True, available=False, ready=False)
        if self.want is not None:
            least = self.want.replicas - self.want.max_unavailable
            after = sum(item.available for item in self.living())
            assert after >= min(available, least), "an action took an available replica below the least"
            most = self.want.replicas + self.want.max_surge
            assert len(self.living()) <= max(total, most), "an action went over the surge"
        return bool(actions)

    def make_available(self) -> None:
        self.replicas = [
            item if item.terminating else replace(item, ready=True, available=True) for item in self.replicas
        ]

    def _new(self, want: Desired) -> Observed:
        self.started += 1
        revision = int(want.template_hash[1:])
        return Observed(
            name=f"r{self.started}", template_hash=want.template_hash, revision=revision, created_at=self.clock
        )


EVENT = st.one_of(
    st.tuples(st.just("ready"), st.integers(0, 30)),
    st.tuples(st.just("break"), st.integers(0, 30)),
    st.tuples(st.just("gone"), st.integers(0, 30)),
    st.tuples(st.just("scale"), st.integers(0, 8)),
    st.tuples(st.just("update"), st.integers(1, 4)),
    st.tuples(st.just("look"), st.just(0)),
)


@settings(max_examples=500)
@given(
    replicas=st.integers(0, 8),
    surge=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "50%", "100%"])),
    unavailable=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "50%", "100%"])),
    events=st.lists(EVENT, max_size=40),
)
def test_any_history_keeps_the_bounds_and_converges(
    replicas: int, surge: int | str, unavailable: int | str, events: list[tuple[str, int]]
) -> None:
    def wanted(count: int, revision: int) -> Desired:
        surge_count, unavailable_count = resolve_bounds(count, surge, unavailable)
        return desired(count, revision, surge_count, unavailable_count)

    world = World(want=wanted(replicas, 1))
    count, revision = replicas, 1
    for kind, number in events:
        at = number % len(world.replicas) if world.replicas else None
        if kind == "scale":
            count = number
        elif kind == "update":
            revision = number
        elif at is not None and kind == "gone" and world.replicas[at].terminating:
            del world.replicas[at]
        elif at is not None and kind in ("ready", "break") and not world.replicas[at].terminating:
            fine = kind == "ready"
            world.replicas[at] = replace(world.replicas[at], ready=fine, available=fine)
        world.want = wanted(count, revision)
        world.step()

    for _ in range(200):
        world.make_available()
        if not world.step():
            break
    assert [item.template_hash for item in world.living()] == [f"h{revision}"] * count
    assert all(item.available for item in world.living())

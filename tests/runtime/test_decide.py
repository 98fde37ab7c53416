"""The rolling update, against thousands of generated histories and Kubernetes' own worked example."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.decide import Desired, Observed, Start, Stop, decide, resolve_bounds, tell
from runtime.proportion import Size, proportional


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
    assert decide(desired(3), []) == (Start(template_hash="h1", count=3),)


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


def test_recreate_starts_nothing_before_all_that_is_old_is_gone() -> None:
    want = replace(desired(2, 2), recreate=True, max_surge=0, max_unavailable=2)
    there = [replica("a"), replica("b")]
    assert decide(want, there) == (Stop(name="a"), Stop(name="b"))
    going = [replace(item, terminating=True, available=False, ready=False) for item in there]
    assert decide(want, going) == ()
    assert decide(want, going[:1]) == ()
    assert decide(want, []) == (Start(template_hash="h2", count=2),)
    assert decide(want, [replica("c", 2), replica("d", 2), replica("e", 2, available=False)]) == (Stop(name="e"),)


def test_a_paused_one_rolls_nothing_out_and_is_scaled_with_what_it_has() -> None:
    paused = replace(desired(3, 2), paused=True)
    assert decide(paused, [replica("a"), replica("b"), replica("c")]) == ()
    assert decide(paused, [replica("a"), replica("b")]) == (Start(template_hash="h1", count=1),)
    assert decide(paused, []) == ()
    assert decide(replace(paused, replicas=1), [replica("a"), replica("b")]) == (Stop(name="a"),)


def test_a_scaled_rollout_grows_in_proportion() -> None:
    """Ten replicas, surge 3, of which 8 are old and 5 new, to fifteen: 11 and 7 (kubernetes.io, Deployments)."""
    there = [replica(f"old{n}") for n in range(8)] + [replica(f"new{n}", 2, available=False) for n in range(5)]
    want = replace(desired(15, 2, surge=3, unavailable=2), sized_for=Size(replicas=10, most=13))
    starts = (Start(template_hash="h2", count=2), Start(template_hash="h1", count=3))
    assert decide(want, there) == starts
    assert tell(starts, there, "web") == (
        "Scaled up replica set web-h2 from 5 to 7",
        "Scaled up replica set web-h1 from 8 to 11",
    )
    # Without a change of size it goes on as before, and both look alike to one that remembers nothing.
    assert decide(replace(want, sized_for=want.size), there) == decide(replace(want, sized_for=None), there)


@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    replicas=st.integers(0, 40),
    surge=st.integers(0, 10),
    spare=st.integers(0, 5),
)
def test_shares_add_up_and_none_goes_against_the_others(
    sizes: list[int], replicas: int, surge: int, spare: int
) -> None:
    there = sum(sizes)
    after = Size(replicas=replicas, most=replicas + surge if replicas else 0)
    new = proportional(sizes, Size(replicas=there, most=there + spare), after)
    assert all(size >= 0 for size in new)
    assert sum(new) == after.most
    changes = [size - old for size, old in zip(new, sizes, strict=True)]
    assert spare or all(change >= 0 for change in changes) or all(change <= 0 for change in changes)


@dataclass
class World:
    """Replicas that do as they are told, and die when the history says so."""

    want: Desired | None
    replicas: list[Observed] = field(default_factory=list)
    clock: float = 0.0
    started: int = 0
    sized_for: Size | None = None

    def living(self) -> list[Observed]:
        return [item for item in self.replicas if not item.terminating]

    def step(self) -> bool:
        """Carry out one decision; whether there was anything to do. Checks what our own actions may not do."""
        self.clock += 1
        available = sum(item.available for item in self.living())
        total = len(self.living())
        want = None if self.want is None else replace(self.want, sized_for=self.sized_for)
        scaled = want is not None and want.sized_for is not None and want.sized_for.replicas != want.replicas
        actions = decide(want, self.replicas)
        self.sized_for = None if want is None else want.size
        for action in actions:
            if isinstance(action, Start):
                assert action.count > 0
                self.replicas += [self._new(action.template_hash) for _ in range(action.count)]
            else:
                index = next(at for at, item in enumerate(self.replicas) if item.name == action.name)
                assert not self.replicas[index].terminating
                self.replicas[index] = replace(self.replicas[index], terminating=True, available=False, ready=False)
        if self.want is not None:
            least = self.want.replicas - self.want.max_unavailable
            after = sum(item.available for item in self.living())
            if not (scaled or self.want.recreate or self.want.paused):
                assert after >= min(available, least), "an action took an available replica below the least"
            most = self.want.replicas + self.want.max_surge
            assert len(self.living()) <= max(total, most), "an action went over the surge"
        return bool(actions)

    def make_available(self) -> None:
        self.replicas = [
            item if item.terminating else replace(item, ready=True, available=True) for item in self.replicas
        ]

    def happen(self, kind: str, number: int) -> None:
        """Something befalls one of the replicas, if it can."""
        if not self.replicas:
            return
        at = number % len(self.replicas)
        if kind == "gone" and self.replicas[at].terminating:
            del self.replicas[at]
        elif kind in ("ready", "break") and not self.replicas[at].terminating:
            fine = kind == "ready"
            self.replicas[at] = replace(self.replicas[at], ready=fine, available=fine)

    def _new(self, template_hash: str) -> Observed:
        self.started += 1
        return Observed(
            name=f"r{self.started}",
            template_hash=template_hash,
            revision=int(template_hash[1:]),
            created_at=self.clock,
        )


EVENT = st.one_of(
    st.tuples(st.just("ready"), st.integers(0, 30)),
    st.tuples(st.just("break"), st.integers(0, 30)),
    st.tuples(st.just("gone"), st.integers(0, 30)),
    st.tuples(st.just("scale"), st.integers(0, 8)),
    st.tuples(st.just("update"), st.integers(1, 4)),
    st.tuples(st.just("pause"), st.integers(0, 1)),
    st.tuples(st.just("look"), st.just(0)),
)


@settings(max_examples=200)
@given(
    replicas=st.integers(0, 8),
    surge=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "50%", "100%"])),
    unavailable=st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "50%", "100%"])),
    recreate=st.booleans(),
    events=st.lists(EVENT, max_size=40),
)
def test_any_history_keeps_the_bounds_and_converges(
    replicas: int, surge: int | str, unavailable: int | str, recreate: bool, events: list[tuple[str, int]]
) -> None:
    def wanted(count: int, revision: int, *, paused: bool) -> Desired:
        surge_count, unavailable_count = (0, count) if recreate else resolve_bounds(count, surge, unavailable)
        return replace(desired(count, revision, surge_count, unavailable_count), recreate=recreate, paused=paused)

    world = World(want=wanted(replicas, 1, paused=False))
    said = {"scale": replicas, "update": 1, "pause": 0}
    for kind, number in events:
        if kind in said:
            said[kind] = number
        else:
            world.happen(kind, number)
        world.want = wanted(said["scale"], said["update"], paused=bool(said["pause"]))
        world.step()
        if recreate:
            assert len({item.template_hash for item in world.replicas}) <= 1, "two revisions at once"

    count, revision = said["scale"], said["update"]
    world.want = wanted(count, revision, paused=False)
    for _ in range(200):
        world.make_available()
        if not world.step() and not (recreate and any(item.terminating for item in world.replicas)):
            break
        if recreate:
            world.replicas = world.living()
    assert [item.template_hash for item in world.living()] == [f"h{revision}"] * count
    assert all(item.available for item in world.living())

"""The bill and what `auto` makes of it: golden cases, and what holds for any image."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.bill import HORIZON, LAYER_COST, MOST_LAYERS, Costs, LayerCost, Past, choose, offer, offers, price

MB = 1_000_000


def stack(*layers: tuple[str, float] | tuple[str, float, float], present: Sequence[str] = ()) -> tuple[LayerCost, ...]:
    """Layers as (name, megabytes[, wasted megabytes]); they compress to a half."""
    return tuple(
        LayerCost(
            diff_id=name,
            size=round(size * MB),
            wasted=round((wasted or [0.0])[0] * MB),
            packed=round(size * MB / 2),
            present=name in present,
        )
        for name, size, *wasted in layers
    )


BASE = (("base", 100.0),)
APP = (("deps", 40.0), ("code", 2.0), ("static", 0.2))


@pytest.mark.parametrize(
    ("layers", "history", "start", "reason"),
    [
        pytest.param(stack(*BASE), [], None, "nothing to merge", id="nothing above the base"),
        pytest.param(stack(*BASE, ("code", 1.0)), [], None, "left as built", id="one layer above it"),
        pytest.param(stack(*BASE, *APP), [], None, "left as built", id="large layers below what changes"),
        pytest.param(
            stack(*BASE, ("a", 0.01), ("b", 0.01), ("c", 0.01)),
            [],
            1,
            "fewer layers",
            id="small layers: requests count",
        ),
        pytest.param(
            stack(*BASE, ("deps", 40.0), ("a", 0.01), ("b", 0.01)),
            [],
            2,
            "fewer layers",
            id="only the small ones on top",
        ),
        pytest.param(
            stack(*BASE, ("deps", 40.0, 38.0), ("rm", 0.0), ("code", 1.0)),
            [("base", "other deps", "other rm", "other code")] * 3,
            1,
            "for the bytes that it wasted",
            id="waste that every push sends again",
        ),
        pytest.param(
            stack(*BASE, ("deps", 40.0, 5.0), ("chown", 3.0), ("code", 1.0)),
            [("base", "deps", "chown", "code 1"), ("base", "deps", "chown", "code 2")],
            None,
            "the next pushes would send more",
            id="waste that is sent once and then shared",
        ),
        pytest.param(
            stack(*BASE, ("deps", 40.0, 1.0), ("a", 0.01), ("b", 0.01)),
            [("old base", "old deps", "old a", "old b")],
            2,
            "fewer layers",
            id="a base that was made anew once stays from now on",
        ),
        pytest.param(
            stack(("base", 100.0, 60.0), ("deps", 40.0, 1.0), ("code", 1.0)),
            [(f"base {number}", f"deps {number}", f"code {number}") for number in range(4)],
            0,
            "for the bytes that it wasted",
            id="a base that is made anew each time is nothing to share",
        ),
        pytest.param(
            stack(*BASE, ("deps", 40.0, 39.9), ("rm", 0.01), ("code", 0.1)),
            [],
            1,
            "for the bytes that it wasted",
            id="nearly all of it waste",
        ),
    ],
)
def test_what_auto_decides(
    layers: tuple[LayerCost, ...], history: list[tuple[str, ...]], start: int | None, reason: str
) -> None:
    past = tuple(Past(layers=stack_, start=None) for stack_ in history)
    choice = choose(Costs(layers=layers, base=1, history=past))
    assert choice.start == start, offers(Costs(layers=layers, base=1, history=past))
    assert reason in choice.reason


def test_what_the_target_has_is_not_sent() -> None:
    layers = stack(*BASE, *APP, present=["base", "deps"])
    built, whole = offer(Costs(layers=layers, base=1), None), offer(Costs(layers=layers, base=1), 1)
    assert (built.push, built.layers) == (round(1.1 * MB), 4)
    assert (whole.push, whole.layers) == (round(21.1 * MB), 2)
    assert built.next_push == round(0.1 * MB)
    assert built.total == built.push + 2 * LAYER_COST + HORIZON * (built.next_push + LAYER_COST)


def test_the_same_image_merged_as_before_sends_nothing() -> None:
    layers = stack(*BASE, *APP)
    names = tuple(layer.diff_id for layer in layers)
    costs = Costs(layers=layers, base=1, history=(Past(layers=names, start=1),))
    assert offer(costs, 1).push == 0
    assert offer(costs, 2).push > 0


def test_what_is_lost() -> None:
    layers = stack(("base", 100.0, 10.0), *APP)
    names = tuple(layer.diff_id for layer in layers)
    costs = Costs(layers=layers, base=1, history=(Past(layers=(*names[:2], "code 1"), start=None),))
    bill = price(costs, 0)
    assert (bill.base_lost, bill.previous_lost, bill.shared_with_base) == (50 * MB, 70 * MB, 0)
    assert (bill.wasted, bill.shipped.wasted, bill.before - bill.after) == (10 * MB, 0, 10 * MB)
    bill = price(costs, 1)
    assert (bill.base_lost, bill.previous_lost, bill.shared_with_base) == (0, 20 * MB, 50 * MB)
    assert bill.shipped.wasted == bill.wasted == 10 * MB
    bill = price(costs, None)
    assert (bill.base_lost, bill.previous_lost, bill.built) == (0, 0, bill.shipped)


def test_a_tower_of_layers_is_merged_whatever_it_costs() -> None:
    layers = stack(*BASE, *((f"layer {number}", 10.0) for number in range(MOST_LAYERS + 10)))
    choice = choose(Costs(layers=layers, base=1))
    assert choice.start is not None
    assert offer(Costs(layers=layers, base=1), choice.start).layers <= MOST_LAYERS
    assert "more than 100" in choice.reason


COSTS = st.lists(
    st.builds(
        lambda name, size, share, packed, present: LayerCost(
            diff_id=name, size=size, wasted=round(size * share), packed=round(size * packed), present=present
        ),
        st.sampled_from("abcdefgh"),
        st.integers(0, 10**9),
        st.floats(0, 1),
        st.floats(0, 1),
        st.booleans(),
    ),
    max_size=12,
)
HISTORY = st.lists(
    st.builds(
        lambda layers, start: Past(layers=tuple(layers), start=start if start is None else min(start, len(layers))),
        st.lists(st.sampled_from("abcdefgh"), max_size=12),
        st.none() | st.integers(0, 12),
    ),
    max_size=12,
)


@given(COSTS, st.none() | st.integers(0, 12), HISTORY)
def test_any_image_is_shipped_in_the_cheapest_way_there_is(
    layers: list[LayerCost], base: int | None, history: list[Past]
) -> None:
    base = None if base is None else min(base, len(layers))
    costs = Costs(layers=tuple(layers), base=base, history=tuple(history))
    choice = choose(costs)
    chosen = offer(costs, choice.start)
    assert all(chosen.total <= other.total for other in offers(costs))
    bill = price(costs, choice.start)
    assert bill.shipped == chosen
    assert bill.before - bill.after == bill.built.wasted - bill.shipped.wasted >= 0
    assert min(bill.base_lost, bill.previous_lost, bill.shared_with_base, chosen.push, chosen.next_push) >= 0

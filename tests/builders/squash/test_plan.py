"""Which layers are merged, and when that is refused."""

from __future__ import annotations

import pytest

from builders.errors import SquashError
from builders.model import SquashMode
from builders.squash.plan import make_plan

LAYERS = ("b1", "b2", "x", "y", "z")


@pytest.mark.parametrize(
    ("base", "code"), [(None, "base-unknown"), (("b1", "other"), "base-mismatch"), ((*LAYERS, "more"), "base-mismatch")]
)
def test_from_base_needs_the_base(base: tuple[str, ...] | None, code: str) -> None:
    with pytest.raises(SquashError) as caught:
        make_plan(SquashMode.FROM_BASE, layers=LAYERS, base=base, subject="image")
    assert caught.value.code == code
    assert caught.value.hint


@pytest.mark.parametrize(
    ("mode", "base", "done", "start", "note"),
    [
        (SquashMode.NONE, ("b1",), SquashMode.NONE, None, ""),
        (SquashMode.ALL, None, SquashMode.ALL, 0, ""),
        (SquashMode.FROM_BASE, ("b1", "b2"), SquashMode.FROM_BASE, 2, ""),
        (SquashMode.FROM_BASE, (), SquashMode.FROM_BASE, 0, ""),
        (SquashMode.FROM_BASE, LAYERS[:4], SquashMode.NONE, None, "1 layer above the base"),
        (SquashMode.FROM_BASE, LAYERS, SquashMode.NONE, None, "0 layers above the base"),
        (SquashMode.AUTO, ("b1", "b2"), SquashMode.FROM_BASE, 2, ""),
        (SquashMode.AUTO, (), SquashMode.ALL, 0, ""),
        (SquashMode.AUTO, None, SquashMode.NONE, None, "not known"),
        (SquashMode.AUTO, ("other",), SquashMode.NONE, None, "does not begin"),
    ],
)
def test_what_each_mode_does(
    mode: SquashMode, base: tuple[str, ...] | None, done: SquashMode, start: int | None, note: str
) -> None:
    plan = make_plan(mode, layers=LAYERS, base=base, subject="image")
    assert (plan.mode, plan.start) == (done, start)
    assert note in plan.note


@pytest.mark.parametrize("layers", [(), ("x",)])
def test_fewer_than_two_layers_are_left_alone(layers: tuple[str, ...]) -> None:
    assert make_plan(SquashMode.ALL, layers=layers, base=None, subject="image").start is None

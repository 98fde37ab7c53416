"""Random stacks of layers: the squash means what the oracle says, from every layer on, and twice the same bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .layers import (
    Item,
    State,
    apply,
    assert_well_formed,
    below,
    file,
    folder,
    hardlink,
    merged,
    opaque,
    seen,
    squash_layers,
    symlink,
    tar_of,
    whiteout,
)

NAMES = ["a", "b", "c"]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
CONTENTS = st.binary(max_size=3)
MODES = st.sampled_from([0o644, 0o4755, 0o700])


class LayerMaker:
    """Puts items together that make a valid layer on top of `lower`: no path twice, nothing below what is no folder in
    this layer, markers and links for what there is."""

    def __init__(self, draw: st.DrawFn, lower: State) -> None:
        self.draw = draw
        self.lower = lower
        self.items: list[Item] = []
        self.kinds: dict[str, str] = {}

    def add(self, path: str, kind: str) -> None:
        parts = path.split("/")
        parents = ["/".join(parts[:count]) for count in range(1, len(parts))]
        if path in self.kinds or any(self.kinds.get(parent, "folder") != "folder" for parent in parents):
            return
        if kind in ("whiteout", "opaque"):
            self._mark(path, kind, parents)
        elif kind == "folder" or not any(other.startswith(f"{path}/") for other in self.kinds):
            self._bring(path, kind, parents)

    def _mark(self, path: str, kind: str, parents: list[str]) -> None:
        marker = whiteout(path) if kind == "whiteout" else opaque(path)
        if path in self.lower and all(item.path != marker.path for item in self.items):
            self.items.append(marker)
            self.kinds |= {parent: "folder" for parent in (parents if kind == "whiteout" else [*parents, path])}

    def _bring(self, path: str, kind: str, parents: list[str]) -> None:
        times = st.integers(0, 3).map(str)
        if kind == "file":
            item = file(path, self.draw(CONTENTS), mode=self.draw(MODES), mtime=self.draw(times))
        elif kind == "folder":
            item = folder(path, mode=self.draw(MODES), mtime=self.draw(times))
        elif kind == "symlink":
            item = symlink(path, self.draw(PATHS))
        elif targets := self._targets(path):
            item = hardlink(path, self.draw(st.sampled_from(targets)))
        else:
            return
        self.items.append(item)
        self.kinds |= {parent: "folder" for parent in parents}
        self.kinds[path] = kind

    def _targets(self, path: str) -> list[str]:
        here = {other for other, what in self.kinds.items() if what != "folder"}
        there = {other for other, thing in self.lower.items() if thing.item.kind != "folder"} - self.kinds.keys()
        return sorted(target for target in here | there if target != path and not path.startswith(f"{target}/"))


KINDS = ["file", "file", "folder", "symlink", "hardlink", "whiteout", "whiteout", "opaque"]


@st.composite
def layer(draw: st.DrawFn, lower: State) -> list[Item]:
    maker = LayerMaker(draw, lower)
    for path, kind in draw(st.lists(st.tuples(PATHS, st.sampled_from(KINDS)), max_size=7)):
        maker.add(path, kind)
    return maker.items


@st.composite
def stack(draw: st.DrawFn) -> list[list[Item]]:
    state: State = {}
    layers = []
    for _ in range(draw(st.integers(1, 5))):
        items = draw(layer(state))
        layers.append(items)
        apply(state, items)
    return layers


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(layers=stack(), data=st.data())
def test_a_squash_means_what_its_layers_meant(layers: list[list[Item]], data: st.DataObject) -> None:
    assert_same_meaning(layers, data)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@settings(max_examples=4000, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=stack(), data=st.data())
def test_thousands_of_squashes_mean_what_their_layers_meant(layers: list[list[Item]], data: st.DataObject) -> None:
    assert_same_meaning(layers, data)


def assert_same_meaning(layers: list[list[Item]], data: st.DataObject) -> None:
    """A squash from any layer on, of all that is above it, as the oracle has it."""
    start = data.draw(st.integers(0, len(layers) - 1))
    raws = [tar_of(items) for items in layers]
    with tempfile.TemporaryDirectory() as work:
        result = squash_layers(Path(work) / "one", raws, start=start)
        again = squash_layers(Path(work) / "two", raws, start=start, surveyed=True, split=True)
    base, above = merged(layers[:start]), result.layers[start:]
    for items in above:
        assert_well_formed(items, base)
    assert seen(apply(dict(base), above[0] if above else [])) == seen(merged(layers))
    assert result.raws[:start] == raws[:start]
    assert again.image.digest == result.image.digest


@settings(max_examples=40, deadline=None)
@given(layers=stack())
def test_what_was_deleted_is_in_no_merged_layer(layers: list[list[Item]]) -> None:
    """A secret that a later layer deletes cannot be read out of the squashed image's layers."""
    raws = [tar_of([file("secret/key", b"-----TOP SECRET-----"), *layers[0]])]
    raws += [tar_of(items) for items in layers[1:]] + [tar_of([whiteout("secret")])]
    if any(below({item.path: None for item in items}, "secret") for items in layers):  # type: ignore[misc]
        return
    with tempfile.TemporaryDirectory() as work:
        result = squash_layers(Path(work), raws, start=0)
    assert all(b"TOP SECRET" not in raw for raw in result.raws)

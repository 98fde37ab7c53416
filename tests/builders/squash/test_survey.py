"""Waste: whose bytes, wasted by whom, each counted once; and what a squash really saves."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from builders.errors import ImageError
from builders.limits import Limits
from builders.squash.survey import How, Survey, survey_layers

from .layers import (
    Item,
    file,
    folder,
    hardlink,
    merged,
    opaque,
    source_of,
    squash_layers,
    symlink,
    tar_of,
    whiteout,
)
from .test_property import stack

HEADER = 512


def survey(tmp_path: Path, *layers: list[Item], limits: Limits | None = None) -> Survey:
    source = source_of(tmp_path / "source", [tar_of(items) for items in layers])
    return survey_layers(source.layers, subject="test", check=lambda: None, limits=limits)


def told(found: Survey) -> set[tuple[str, int, int, int, How]]:
    return {(waste.path, waste.size, waste.layer, waste.by, waste.how) for waste in found.waste}


@pytest.mark.parametrize(
    ("layers", "waste"),
    [
        pytest.param([[file("a", "x")], [file("b", "y")]], [], id="none"),
        pytest.param([[file("a", "x" * 513)], [whiteout("a")]], [("/a", 1024, 0, 1, How.DELETED)], id="deleted"),
        pytest.param([[file("a", "x")], [], [file("a", "y")]], [("/a", 512, 0, 2, How.REWRITTEN)], id="rewritten"),
        pytest.param(
            [[folder("d"), file("d/a", "x")], [whiteout("d")]], [("/d/a", 512, 0, 1, How.DELETED)], id="with its folder"
        ),
        pytest.param(
            [[folder("d"), file("d/a", "x")], [folder("d"), opaque("d"), file("d/b", "y")]],
            [("/d/a", 512, 0, 1, How.DELETED)],
            id="by an opaque folder",
        ),
        pytest.param(
            [[folder("d"), file("d/a", "x")], [symlink("d", "e")]], [("/d/a", 512, 0, 1, How.DELETED)], id="covered"
        ),
        pytest.param([[file("a", "x")], [folder("a")]], [("/a", 512, 0, 1, How.REWRITTEN)], id="a folder in its place"),
        pytest.param(
            [[file("a", "x")], [file("a", "x").but(mode=0o755)]], [("/a", 512, 0, 1, How.REWRITTEN)], id="chmod"
        ),
        pytest.param([[file("a", "x"), file("a", "y")]], [("/a", 512, 0, 0, How.REWRITTEN)], id="twice in a layer"),
        pytest.param([[file("a", "x"), hardlink("b", "a")], [whiteout("a")]], [], id="a link keeps it"),
        pytest.param(
            [[file("a", "x"), hardlink("b", "a")], [whiteout("a")], [whiteout("b")]],
            [("/a", 512, 0, 1, How.DELETED)],
            id="until the last is gone",
        ),
        pytest.param(
            [[file("a", "x")], [hardlink("b", "a"), whiteout("a")]], [], id="a link of a layer above keeps it"
        ),
        pytest.param([[file("a", "")], [whiteout("a")]], [], id="nothing in it"),
        pytest.param(
            [[file("a", "x")], [file("a", "y")], [file("a", "z")], [whiteout("a")]],
            [
                ("/a", 512, 0, 1, How.REWRITTEN),
                ("/a", 512, 1, 2, How.REWRITTEN),
                ("/a", 512, 2, 3, How.DELETED),
            ],
            id="each once",
        ),
    ],
)
def test_who_wasted_what(tmp_path: Path, layers: list[list[Item]], waste: list[tuple[str, int, int, int, How]]) -> None:
    found = survey(tmp_path, *layers)
    assert told(found) == {(path, size + HEADER, layer, by, how) for path, size, layer, by, how in waste}
    assert found.wasted == sum(size + HEADER for _, size, *_ in waste)
    assert sum(layer.wastes for layer in found.layers) == found.wasted
    assert found.waste_files == len(waste)


def test_the_largest_files_and_those_that_raise_rights(tmp_path: Path) -> None:
    found = survey(
        tmp_path,
        [file("big", "x" * 9000), file("su", "s").but(mode=0o4755), file("gone", "g").but(mode=0o4755)],
        [file("bigger", "x" * 10_000), whiteout("gone"), file("wall", "w").but(mode=0o2755), hardlink("sudo", "wall")],
    )
    assert [(seen_.path, seen_.size, seen_.layer) for seen_ in found.largest[:2]] == [
        ("/bigger", 10_000, 1),
        ("/big", 9000, 0),
    ]
    assert [(seen_.path, oct(seen_.mode)) for seen_ in found.raising] == [("/su", "0o4755"), ("/sudo", "0o2755")]


def test_too_many_entries(tmp_path: Path) -> None:
    layers = [[file(f"{layer}{number}") for number in range(6)] for layer in "ab"]
    assert survey(tmp_path, *layers, limits=Limits(entries=12)).wasted == 0
    with pytest.raises(ImageError) as caught:
        survey(tmp_path, *layers, limits=Limits(entries=11))
    assert caught.value.code == "too-many-entries"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(layers=stack())
def test_what_is_wasted_is_what_a_squash_saves(layers: list[list[Item]]) -> None:
    """The contents that a squash of all layers writes are those that are not wasted, to the byte."""
    with tempfile.TemporaryDirectory() as name:
        raws = [tar_of(items) for items in layers]
        found = survey(Path(name), *layers)
        squashed = squash_layers(Path(name) / "squash", raws, start=0) if merged(layers) else None
        stored = sum(_stored(item) for items in layers for item in items)
        left = sum(_stored(item) for item in squashed.top) if squashed else 0
        # A link to a lower layer's file becomes a copy, and so a file twice.
        assert left >= stored - found.wasted
        if not any(item.kind == "hardlink" for items in layers for item in items):
            assert left == stored - found.wasted


def _stored(item: Item) -> int:
    size = len(item.content) if item.kind == "file" else 0
    return HEADER + -(-size // 512) * 512 if size else 0

"""What an image's files are shown as: seen and hidden, of which layer, and what a squash takes out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from builders.squash.listing import ListedFile, Listing
from builders.squash.survey import survey_trees

from .layers import Item, file, folder, hardlink, merged, source_of, symlink, tar_of, whiteout
from .test_property import stack


def listing(tmp_path: Path, *layers: list[Item], base: int | None = None, merged_from: int | None = None) -> Listing:
    source = source_of(tmp_path / "source", [tar_of(items) for items in layers])
    survey, trees = survey_trees(source.layers, subject="test", check=lambda: None, start=merged_from)
    known = None if base is None else [layer.diff_id for layer in source.layers[:base]]
    return Listing.of(source, survey, trees, base=known, merged_from=merged_from)


def told(found: Listing) -> set[tuple[str, int, bool]]:
    return {(one.path, one.layer, one.kept) for one in found.files()}


def test_files_are_told_with_their_layers_and_whether_they_are_seen(tmp_path: Path) -> None:
    found = listing(
        tmp_path,
        [folder("etc"), file("etc/a", b"old"), file("etc/b", b"gone"), symlink("etc/l", "a")],
        [file("etc/a", b"new"), whiteout("etc/b"), hardlink("etc/h", "etc/a")],
    )
    assert told(found) == {
        ("/etc/a", 1, True),
        ("/etc/h", 1, True),
        ("/etc/l", 0, True),
        ("/etc/a", 0, False),
        ("/etc/b", 0, False),
    }
    assert {one.kind for one in found.files()} == {"file", "symlink"}


def test_contents_are_read_from_the_front_seen_or_not(tmp_path: Path) -> None:
    found = listing(tmp_path, [file("a", b"0123456789"), file("e", b"")], [whiteout("a")])
    by_path = {one.path: one for one in found.files()}
    assert [by_path["/a"].read(limit) for limit in (0, 4, 100)] == [b"", b"0123", b"0123456789"]
    assert by_path["/e"].read(5) == b""


def test_what_a_squash_takes_out_is_not_listed_and_not_weighed(tmp_path: Path) -> None:
    layers = ([file("base", b"x" * 600)], [file("key", b"k" * 600)], [whiteout("key"), whiteout("base")])
    whole = listing(tmp_path / "1", *layers, base=1)
    assert told(whole) == {("/base", 0, False), ("/key", 1, False)}
    assert (whole.base, [layer.wasted for layer in whole.layers]) == (1, [1536, 1536, 0])
    left = listing(tmp_path / "2", *layers, base=1, merged_from=1)
    # What the base holds stays in its layer.
    assert told(left) == {("/base", 0, False)}
    assert [layer.wasted for layer in left.layers] == [1536, 0, 0]
    assert left.layers[1].size == whole.layers[1].size - 1536


@pytest.mark.parametrize("base", [["sha256:other"], ["sha256:other"] * 9])
def test_a_base_whose_layers_are_others_is_not_known(tmp_path: Path, base: list[str]) -> None:
    source = source_of(tmp_path, [tar_of([file("a", b"")])])
    survey, trees = survey_trees(source.layers, subject="test", check=lambda: None)
    assert Listing.of(source, survey, trees, base=base).base is None
    assert Listing.of(source, survey, trees, base=()).base == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack())
def test_the_listed_files_are_what_the_layers_make(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[Item]]
) -> None:
    """Held against the tests' own slow way of laying layers over one another."""
    source = source_of(tmp_path_factory.mktemp("source"), [tar_of(items) for items in layers])
    survey, trees = survey_trees(source.layers, subject="test", check=lambda: None)
    files: list[ListedFile] = list(Listing.of(source, survey, trees, base=None).files())
    made = {f"/{path}": thing.item for path, thing in merged(layers).items() if thing.item.kind != "folder"}
    kept = [one for one in files if one.kept]
    assert sorted(one.path for one in kept) == sorted(made)
    for one in kept:
        item = made[one.path]
        assert (one.mode, one.uid, one.gid) == (item.mode, item.uid, item.gid)
        assert one.kind != "file" or one.read(1 << 20) == item.content
    assert sum(not one.kept for one in files) == survey.waste_files

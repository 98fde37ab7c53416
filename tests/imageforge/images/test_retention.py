"""What goes and what stays: the decision alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import remove_blobs, stored_blobs
from imageforge.cli.image_gc import size
from imageforge.errors import UsageError
from imageforge.images.retention import Stored, engine_spare, images_in, is_ours, left, surplus


def stored(name: str, *, at: float = 0.0, ours: bool = True, needed: bool = False, **parts: int) -> Stored:
    return Stored(name=name, parts=parts or {name: 10}, used_at=at, ours=ours, needed=needed)


def names(found: tuple[Stored, ...]) -> str:
    return "".join(one.name for one in found)


def test_what_nobody_needs_goes_and_the_oldest_first() -> None:
    images = [
        stored("a", at=3),
        stored("b", at=1, needed=True),
        stored("c", at=1, ours=False),
        stored("d", at=2),
    ]
    assert names(surplus(images)) == "da"
    assert names(surplus(images, before=3)) == "d"


def test_a_budget_is_kept_and_no_more_goes_than_it_takes() -> None:
    images = [stored("a", at=1), stored("b", at=2), stored("c", at=3, needed=True)]
    assert names(surplus(images, budget=30)) == ""
    assert names(surplus(images, budget=29)) == "a"
    assert names(surplus(images, budget=10)) == "ab"
    assert names(surplus(images, budget=0)) == "ab", "what is needed stays, whatever the budget"


def test_what_is_shared_counts_once_and_comes_free_with_its_last_user() -> None:
    images = [stored("a", at=1, base=100, top=1), stored("b", at=2, base=100, other=1)]
    assert names(surplus(images, budget=102)) == ""
    assert names(surplus(images, budget=101)) == "a"
    assert names(surplus(images, budget=100)) == "ab"
    assert [left(images, images[:count]) for count in range(3)] == [102, 101, 0]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans(), st.frozensets(st.integers(0, 5))), max_size=12),
    st.none() | st.integers(0, 60),
)
def test_what_is_needed_or_anothers_never_goes(
    made: list[tuple[int, bool, bool, frozenset[int]]], budget: int | None
) -> None:
    images = [
        Stored(name=str(number), parts={str(part): part for part in parts}, used_at=at, ours=ours, needed=needed)
        for number, (at, ours, needed, parts) in enumerate(made)
    ]
    gone = surplus(images, budget=budget)
    assert all(one.ours and not one.needed for one in gone)
    assert budget is None or left(images, gone) <= budget or not any(one.spare for one in images if one not in gone)


def test_what_somebody_named_stays() -> None:
    assert is_ours(["b1", "b23"])
    assert not is_ours(["b1", "stable"])
    assert not is_ours(["b0x"])
    registry = {"registry": "127.0.0.1:8705", "build_name": "imageforge.invalid/build"}
    assert engine_spare(["127.0.0.1:8705/shop@sha256:00"], **registry)
    assert engine_spare(["imageforge.invalid/build:abc-1"], **registry)
    assert engine_spare([], **registry)
    assert not engine_spare(["127.0.0.1:8705/shop@sha256:00", "shop:mine"], **registry)
    assert not engine_spare(["imageforge/debian:bookworm"], **registry)


def test_the_images_of_objects() -> None:
    pod = "spec:\n  template:\n    spec:\n      containers: [{image: a}]\n      initContainers: [{name: x, image: b}]\n"
    assert images_in([pod, "image: {image: c}\n---\nspec: {image: [d]}\n"]) == {"a", "b", "c"}


@pytest.mark.parametrize(("text", "found"), [("20GB", 20 * 10**9), ("1.5 gib", 3 << 29), ("7", 7), ("500M", 5 * 10**8)])
def test_sizes(text: str, found: int) -> None:
    assert size(text) == found


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "20 parsecs", "1ib"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        size(text)


def test_layers_are_taken_out_with_the_notes_that_lead_to_them(tmp_path: Path) -> None:
    (tmp_path / "sha256").mkdir()
    (tmp_path / "gzip-2").mkdir()
    for name in ("aa", "bb"):
        (tmp_path / "sha256" / name).write_bytes(b"12345")
        (tmp_path / "gzip-2" / f"diff-{name}").write_text(f'{{"digest": "sha256:{name}", "size": 5}}')
    (tmp_path / "gzip-2" / "damaged").write_text("{")
    os.link(tmp_path / "sha256" / "aa", tmp_path / "layout")
    found = {blob.digest: blob for blob in stored_blobs(tmp_path)}
    assert {digest: blob.linked for digest, blob in found.items()} == {"sha256:aa": True, "sha256:bb": False}
    assert remove_blobs(tmp_path, ["sha256:bb", "sha256:absent"]) == 5
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["aa", "damaged", "diff-aa", "layout"]

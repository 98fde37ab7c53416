"""What is kept of an app's pushes, and what a build asks of the registry before it decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import Bill, BuiltImage, Offer, Past, SquashedImage, SquashMode
from imageforge.config import Home
from imageforge.pipeline.shipped import KEPT, history, remember, target
from imageforge.report.bill import squash_line
from registry import ImageRef, OciLayout, push
from tests.imageforge.images.layered import put_image
from tests.registry.conftest import registry_address

__all__ = ["registry_address"]


def built(*layers: str) -> BuiltImage:
    return BuiltImage(image_id="sha256:0", size=1, diff_ids=layers, config={})


def squashed(start: int | None, *, wasted: int = 0) -> SquashedImage:
    offer = Offer(start=start, layers=2, push=10, next_push=2_000_000, total=10, wasted=wasted)
    bill = Bill(built=offer, shipped=offer, before=9, after=100, shared_with_base=0, base_lost=0, previous_lost=0)
    return SquashedImage(
        layout=Path("layout"),
        digest="sha256:1",
        image_id="sha256:2",
        mode=SquashMode.NONE if start is None else SquashMode.FROM_BASE,
        layers_before=4,
        layers_after=4 if start is None else 2,
        bytes_before=300_000_000,
        bytes_after=200_000_000,
        compressed_bytes=1,
        proved=start is not None,
        bill=bill,
    )


def test_the_last_pushes_newest_first(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    assert history(home, "shop") == ()
    for number in range(KEPT + 3):
        remember(home, "shop", built("base", str(number)), squashed(None if number % 2 else 1))
    found = history(home, "shop")
    assert len(found) == KEPT
    assert found[:2] == (Past(layers=("base", "12"), start=1), Past(layers=("base", "11"), start=None))
    assert history(home, "other") == ()
    assert [file.name for file in home.shipped.iterdir()] == ["shop.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '[{"layers": 1, "start": 0}]', '[{"layers": ["a"], "start": "x"}]', "7"]
)
def test_what_cannot_be_read_is_no_history(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.shipped.mkdir()
    (home.shipped / "shop.json").write_text(text)
    assert history(home, "shop") == ()
    remember(home, "shop", built("a"), squashed(None))
    assert history(home, "shop") == (Past(layers=("a",), start=None),)


def test_what_the_registry_has(tmp_path: Path, registry_address: str) -> None:
    put_image(tmp_path / "layout", [b"one" * 1000])
    layout = OciLayout.open(tmp_path / "layout")
    reference = ImageRef.parse(f"{registry_address}/shipped/app:1")
    digest = layout.manifest().layers[0].digest
    with target(reference) as present:
        assert not present(digest)
    push(layout, reference)
    with target(reference) as present:
        assert present(digest)
        assert not present("sha256:" + "0" * 64)
    with target(None) as present:
        assert not present(digest)


def test_a_registry_that_does_not_answer_is_asked_once() -> None:
    with target(ImageRef.parse("127.0.0.1:1/shop:1")) as present:
        assert [present(f"sha256:{number:064}") for number in range(1000)] == [False] * 1000


@pytest.mark.parametrize(
    ("image", "line"),
    [
        (squashed(2), "4 -> 2 layers, 300 -> 200 MB, trees equal, next push 2.0 MB"),
        (squashed(None), "left as built, 4 layers, 300 MB, next push 2.0 MB"),
        (squashed(None, wasted=20_000_000), "left as built, 4 layers, 300 MB, 20 MB wasted, next push 2.0 MB"),
    ],
)
def test_the_bill_in_one_line(image: SquashedImage, line: str) -> None:
    assert squash_line(image) == line

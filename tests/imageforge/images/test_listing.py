"""Which images are listed, once each, from what the engine, the releases and the builds say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from builders import EngineImage
from imageforge.images.listing import made_images
from imageforge.store import Build, Release

DIGEST = "sha256:" + "a" * 64


def image(number: int, *names: str, app: str = "") -> EngineImage:
    labels = {"io.imageforge.app": app} if app else {}
    return EngineImage(image_id=f"sha256:{number}", names=names, size=number, created=float(number), labels=labels)


def release(app: str, number: int, image_: int, status: str = "superseded") -> Release:
    reference = f"127.0.0.1:5000/{app}@{DIGEST}"
    fields: dict[str, Any] = {"app": app, "number": number, "image_id": f"sha256:{image_}", "status": status}
    return cast(Release, SimpleNamespace(**fields, reference=reference, build_id=None))


def build(number: int, app: str, image_: int | None, reference: str | None) -> Build:
    image_id = f"sha256:{image_}" if image_ else None
    return cast(Build, SimpleNamespace(id=number, app=app, image_id=image_id, reference=reference))


def test_each_image_once_newest_release_first() -> None:
    shop = f"127.0.0.1:5000/shop@{DIGEST}"
    found = made_images(
        [image(1, shop, "shop:x", app="shop"), image(2, app="shop"), image(9, "imageforge/debian:bookworm")],
        [release("shop", 1, 1), release("shop", 2, 3), release("shop", 3, 1, "live"), release("blog", 1, 4, "live")],
        [build(5, "shop", 1, shop), build(6, "shop", 1, shop), build(7, "shop", 2, shop), build(8, "shop", None, None)],
    )
    assert [(made.app, made.releases, made.live, made.build, made.size) for made in found] == [
        ("blog", (1,), 1, None, None),
        ("shop", (3, 1), 3, 5, 1),
        ("shop", (2,), None, None, None),
        ("shop", (), None, 7, 2),
        ("", (), None, None, 9),
    ]
    assert (found[1].reference, found[1].names) == (shop, ("shop:x",))
    assert (found[4].reference, found[4].names) == (None, ("imageforge/debian:bookworm",))

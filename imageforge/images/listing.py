"""The images that imageforge made: what the engine has of them, what releases and builds name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from builders import EngineImage
from imageforge.store import Build, Release
from registry import ImageRef, InvalidReference
from runtime import Label


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeImage:
    """An image by its ID in the engine. `app` is empty for base images; `releases` are the numbers of those that it is
    of, newest first, `live` the one that serves; `build` made it; `reference` names it in a registry by digest; `names`
    are its others. `size` and `created_at` are the engine's, None where it has it no more."""

    image_id: str
    app: str
    releases: tuple[int, ...] = ()
    live: int | None = None
    build: int | None = None
    reference: str | None = None
    names: tuple[str, ...] = field(default=())
    size: int | None = None
    created_at: float | None = None


def made_images(
    engine: Iterable[EngineImage], releases: Iterable[Release], builds: Iterable[Build]
) -> tuple[MadeImage, ...]:
    """Every image once; apps in their order, and of each the newest release first, then what no release has."""
    here = {image.image_id: image for image in engine}
    released: dict[str, list[Release]] = {}
    for release in sorted(releases, key=lambda release: -release.number):
        released.setdefault(release.image_id, []).append(release)
    built: dict[str, Build] = {}
    for build in sorted(builds, key=lambda build: build.id):
        if build.image_id and build.reference:
            built.setdefault(build.image_id, build)
    found = [
        _made(image_id, here.get(image_id), released.get(image_id, ()), built.get(image_id))
        for image_id in dict.fromkeys((*released, *built, *here))
    ]
    return tuple(sorted(found, key=_order))


def _made(image_id: str, image: EngineImage | None, releases: Sequence[Release], build: Build | None) -> MadeImage:
    app = releases[0].app if releases else build.app if build else ""
    if not app and image is not None:
        app = image.labels.get(Label.APP.value, "")
    pushed = [name for name in (*(r.reference for r in releases), build.reference if build else None) if name]
    reference = next((name for name in pushed if _is_pinned(name)), None)
    names = image.names if image else ()
    return MadeImage(
        image_id=image_id,
        app=app,
        releases=tuple(release.number for release in releases),
        live=next((release.number for release in releases if release.status == "live"), None),
        build=build.id if build else None,
        reference=reference,
        names=tuple(name for name in names if name != reference),
        size=image.size if image else None,
        created_at=image.created if image else None,
    )


def _order(image: MadeImage) -> tuple[object, ...]:
    return (
        image.app == "",
        image.app,
        -max(image.releases, default=0),
        -(image.build or 0),
        -(image.created_at or 0.0),
        image.image_id,
    )


def _is_pinned(name: str) -> bool:
    try:
        return ImageRef.parse(name).digest is not None
    except InvalidReference:
        return False

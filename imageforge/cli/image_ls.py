"""imageforge image ls: the images that were made here, by app and release."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from builders import labelled
from imageforge.cli.output import Format, FormatOption, say, show
from imageforge.cli.releases import shortened
from imageforge.cli.state import Workplace
from imageforge.images.listing import MadeImage, made_images
from imageforge.images.retention import BUILD_NAME
from imageforge.report.units import age, megabytes
from imageforge.stack import engine_choice
from registry import ImageRef, RegistryClient, RegistryError
from runtime import Label

MOST_BUILDS = 1000


def ls(
    app: Annotated[str | None, typer.Argument(metavar="[APP]", help="Only this app's.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the images that were made here.

    In the engine and in the registry, by app and release: what builds and releases name, and what the engine has with
    this instance's label. Copies of these have it too, squashed ones and what anybody built on them. One with more
    names is shown with their number, such as shop:1 +2, and all of them by -o wide. What else a registry has image
    tags shows.
    """
    from imageforge.store import Apps, Builds, Releases  # noqa: PLC0415 - a fifth of a second to load

    here = Workplace.here()
    here.home.prepare()
    engine = labelled(engine_choice.answering(here.home, here.settings), Label.INSTANCE.value, here.home.instance)
    with here.database() as database:
        builds = Builds(database).latest(app=app, limit=MOST_BUILDS)
        apps = sorted({build.app for build in builds} | {image.labels.get(Label.APP.value, "") for image in engine})
        releases = [release for name in apps if name for release in Releases(database).kept(name)]
        found = [image for image in made_images(engine, releases, builds) if app is None or image.app == app]
        if app is not None and not found:  # what a deleted app left is shown
            Apps(database).require(app)
    with contextlib.closing(_Shelf(here.settings.registry)) as shelf:
        rows = [row for image in found if (row := _row(image, shelf, form))["engine"] or row["registry"]]
    show(
        rows,
        columns=("app", "release", "build", "image", "size", "engine", "registry", "age"),
        wide=("image_id", "names"),
        form=form,
        empty="no images yet: imageforge build",
    )
    if shelf.silent:
        say(f"  the registry {here.settings.registry} does not answer: whether it has them is not known")


class _Shelf:
    """The local registry, asked for each image; after it has not answered once, no more."""

    def __init__(self, registry: str) -> None:
        self._registry = registry
        self._client = RegistryClient(registry)
        self.silent = False

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def has_any(self, references: Iterable[str | None]) -> bool | None:
        """Whether it has one of an image's names, the first of which is the one it was pushed under, if it was; None
        where that is not known, or another registry's to say."""
        pushed, *others = references
        found = self._has(pushed) if pushed is not None else False
        for name in others if not found else ():
            # The others have a name that the engine gave, and are asked for only where they name this registry.
            if name is not None and name.startswith(f"{self._registry}/"):
                found = self._has(name)
                if found:
                    break
        return found

    def _has(self, reference: str) -> bool | None:
        parsed = ImageRef.parse(reference)
        if parsed.registry != self._registry or self.silent:
            return None
        try:
            return self._client.has_manifest(parsed.repository, parsed.digest or parsed.tag or "latest")
        except RegistryError:
            self.silent = True
            return None


def called(image: MadeImage, *, all_shown: bool) -> str:
    """What a table calls an image: by one name, the one it was pushed by if it was, and how many others it has unless
    they are `all_shown` beside it. What a build calls it on its way is no name that somebody gave."""
    given = [name for name in image.names if not name.startswith(f"{BUILD_NAME}:")]
    first = shortened(image.reference) if image.reference else next(iter(given or image.names), "")
    more = len(given) - (0 if image.reference else 1)
    return (first or f"{image.image_id[:19]}…") + (f" +{more}" if more > 0 and not all_shown else "")


def _row(image: MadeImage, shelf: _Shelf, form: Format) -> Mapping[str, Any]:
    in_engine, in_registry = image.size is not None, shelf.has_any((image.reference, *image.names))
    data = {
        "app": image.app,
        "releases": list(image.releases),
        "live": image.live,
        "build": image.build,
        "image": image.reference,
        "image_id": image.image_id,
        "names": list(image.names),
        "size": image.size,
        "created_at": image.created_at,
        "engine": in_engine,
        # None is of a registry that did not say: the image is shown.
        "registry": in_registry if form in (Format.JSON, Format.YAML) or in_registry is not None else "?",
    }
    if form in (Format.JSON, Format.YAML):
        return data
    numbers = [f"{number} (live)" if number == image.live else str(number) for number in image.releases]
    return {
        **data,
        "release": ", ".join(numbers),
        "image": called(image, all_shown=form is Format.WIDE),
        "names": ", ".join(image.names),
        "size": megabytes(image.size) if image.size is not None else "",
        "age": age(time.time() - image.created_at) if image.created_at else "",
    }

"""Images in the engine: looked up, looked for, and untagged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from builders.engine.connection import connect
from builders.engine.endpoint import Endpoint
from builders.errors import EngineError
from builders.model import BuiltImage

Place = Literal["engine", "registry"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """Whether a build could start from an image: `place` says where it is; None with the `reason` where nowhere.
    True in a condition when it is somewhere."""

    place: Place | None
    reason: str = ""

    def __bool__(self) -> bool:
        return self.place is not None


def inspect_image(reference: str, *, endpoint: Endpoint) -> BuiltImage:
    """The image of that name or ID in the engine. Raises EngineError ``image-missing``."""
    with connect(endpoint) as engine:
        return built_image(engine.inspect_image(reference))


def built_image(inspected: Mapping[str, Any]) -> BuiltImage:
    """The image in the engine's answer, its configuration in the form that OCI gives it."""
    diff_ids = tuple((inspected.get("RootFS") or {}).get("Layers") or ())
    config: dict[str, Any] = {
        "created": inspected.get("Created"),
        "architecture": inspected.get("Architecture"),
        "os": inspected.get("Os"),
        "config": dict(inspected.get("Config") or {}),
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    for key, name in (("Author", "author"), ("Variant", "variant")):
        if inspected.get(key):
            config[name] = inspected[key]
    return BuiltImage(
        image_id=str(inspected["Id"]), size=int(inspected.get("Size") or 0), diff_ids=diff_ids, config=config
    )


def resolvable(endpoint: Endpoint, reference: str, timeout: float = 10.0) -> Resolution:
    """Whether `reference` is in the engine, or its registry answers for it within `timeout` seconds.

    Asked before a build, so that a FROM that nobody serves is an answer in seconds instead of a network timeout in
    minutes. Raises EngineError only where the engine itself does not answer.
    """
    with connect(endpoint) as engine:
        try:
            engine.inspect_image(reference)
        except EngineError as error:
            if error.code == "engine-lost":
                raise
        else:
            return Resolution(place="engine")
    with connect(endpoint, timeout=timeout) as engine:
        try:
            engine.distribution(reference)
        except EngineError as error:
            if error.code == "engine-lost":
                raise
            return Resolution(place=None, reason=error.message)
    return Resolution(place="registry")


def remove_tag(endpoint: Endpoint, tag: str) -> bool:
    """Takes the name `tag` from its image; the engine deletes the image with its last name. False where no image has
    the name. The caller must have given the name itself. Raises EngineError ``engine-refused`` while a container
    uses the image under no other name."""
    with connect(endpoint) as engine:
        try:
            engine.remove(tag)
        except EngineError as error:
            if error.code == "image-missing":
                return False
            raise
    return True


def name_pushed(endpoint: Endpoint, reference: str) -> None:
    """Has the engine know an image that it holds by the digest that a registry has it under: it asks for the manifest
    alone, and finds that it has what is named there. The image then outlives its other names.

    Raises EngineError where the engine does not get the manifest.
    """
    with connect(endpoint) as engine:
        engine.pull(reference)


def has_image(endpoint: Endpoint, reference: str) -> bool:
    """Whether the engine has an image of that name or ID."""
    try:
        inspect_image(reference, endpoint=endpoint)
    except EngineError as error:
        if error.code != "image-missing":
            raise
        return False
    return True


def labelled_images(endpoint: Endpoint, label: str, value: str) -> tuple[str, ...]:
    """The names of the images that carry a label with that value; the ID of one that has no name."""
    with connect(endpoint) as engine:
        found = engine.list_images(label=f"{label}={value}")
    return tuple(name for image in found for name in _names(image))


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineImage:
    """An image in the engine: its ID, names (none where it has none), bytes of all its layers, when it was made (Unix
    time), and its labels."""

    image_id: str
    names: tuple[str, ...]
    size: int
    created: float
    labels: Mapping[str, str] = field(default_factory=dict)


def labelled(endpoint: Endpoint, label: str, value: str) -> tuple[EngineImage, ...]:
    """The images that carry a label with that value."""
    with connect(endpoint) as engine:
        found = engine.list_images(label=f"{label}={value}")
    return tuple(
        EngineImage(
            image_id=str(image["Id"]),
            names=tuple(name for name in _names(image) if name != str(image["Id"])),
            size=int(image.get("Size") or 0),
            created=float(image.get("Created") or 0),
            labels=dict(image.get("Labels") or {}),
        )
        for image in found
    )


def remove_image(endpoint: Endpoint, image: EngineImage) -> bool:
    """Take an image out by all of its names, never by force; False where a container, or another image, needs it."""
    try:
        with connect(endpoint) as engine:
            for name in image.names or (image.image_id,):
                engine.remove(name)
    except EngineError as error:
        if error.code not in ("engine-refused", "image-missing"):
            raise
        return error.code == "image-missing"
    return True


def remove_labelled_images(endpoint: Endpoint, label: str, value: str) -> tuple[str, ...]:
    """Removes the images that carry a label with that value; gives the names that are gone. One that a container uses
    stays."""
    removed = []
    for name in labelled_images(endpoint, label, value):
        with suppress(EngineError), connect(endpoint) as engine:
            engine.remove(name)
            removed.append(name)
    return tuple(removed)


def _names(image: Mapping[str, Any]) -> list[str]:
    names = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
    return [name for name in names if not name.startswith("<none>")] or [str(image["Id"])]

"""Two images compared: what a container sees, by the code that proves a squash, and their configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from builders.errors import ImageError
from builders.limits import Limits
from builders.opened.model import OpenedImage
from builders.squash.proof import Change, Difference, compare, read_tree
from builders.squash.source import Layer, SourceImage, whole
from builders.squash.survey import survey_layers

TIMES = "time"
_OWN = frozenset({"rootfs", "history", "created", "config"})
"""What is told by the paths, or differs between any two builds; the part `config` is told by its own keys."""
_OF_THE_BUILDER = frozenset({"id", "parent", "container", "container_config", "docker_version", "comment", "Image"})
"""What the engine notes of how it made an image, and no container sees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A part of the configuration that differs: ``Env.PATH``, ``User``, ``os``; None where it is not there."""

    name: str
    before: Any
    after: Any

    @property
    def change(self) -> Change:
        """What became of it."""
        if self.before is None:
            return Change.ADDED
        return Change.REMOVED if self.after is None else Change.CHANGED


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageDiff:
    """All that differs; empty for images that run alike."""

    paths: tuple[Difference, ...]
    settings: tuple[Setting, ...]

    def __bool__(self) -> bool:
        return bool(self.paths or self.settings)


def diff_images(
    one: OpenedImage,
    other: OpenedImage,
    *,
    times: bool = False,
    limits: Limits | None = None,
    check: Callable[[], None] = lambda: None,
) -> ImageDiff:
    """What changes from one image to the other. Times of paths are compared only where it is asked for: two builds of
    the same sources have others. Layers that both have at the bottom are read once, and their contents not at all.

    Raises SquashError ``layer-damaged`` and the like, ImageError ``too-many-entries`` and ``layer-damaged``.
    """

    def act(first: SourceImage, second: SourceImage) -> tuple[Difference, ...]:
        for image, source in ((one, first), (other, second)):
            # The proof reads what the squash has read before it, and leaves it to that to refuse what is no layer.
            survey_layers(source.layers, subject=image.name, check=check, limits=limits)
        shared = _shared(first.layers, second.layers)
        below = read_tree(first.layers[:shared], check)
        before = read_tree(first.layers[shared:], check, below)
        after = read_tree(second.layers[shared:], check, below)
        found = tuple(compare(before, after, check, ignore=frozenset() if times else frozenset({TIMES})))
        # Contents may have been compared where an engine keeps them; of layers that both have, none was.
        for layer in (*first.layers[shared:], *second.layers[shared:]):
            layer.verify(check)
        return found

    try:
        paths = whole(one.source, lambda first: whole(other.source, lambda second: act(first, second)))
    except (EOFError, ValueError) as error:
        raise ImageError("layer-damaged", f"{one.name}, {other.name}", f"a layer cannot be read: {error}") from error
    return ImageDiff(paths=paths, settings=tuple(_settings(one.source.config, other.source.config)))


def _shared(one: Sequence[Layer], other: Sequence[Layer]) -> int:
    """How many layers from the bottom up are the same."""
    shared = 0
    while shared < min(len(one), len(other)) and one[shared].diff_id == other[shared].diff_id:
        shared += 1
    return shared


def _settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Setting]:
    before, after = dict(_flat(one)), dict(_flat(other))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield Setting(name=name, before=before.get(name), after=after.get(name))


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Variables, labels, ports and volumes one by one; all else as it is. What is empty counts as not there."""
    own = {key: value for key, value in config.items() if key not in _OWN | _OF_THE_BUILDER}
    inner = config.get("config")
    for key, value in {**own, **(inner if isinstance(inner, dict) else {})}.items():
        if key == "Env" and isinstance(value, list):
            yield from ((f"Env.{name}", text) for name, _, text in (str(pair).partition("=") for pair in value))
        elif key in ("Labels", "ExposedPorts", "Volumes") and isinstance(value, dict):
            yield from ((f"{key}.{name}", text or True) for name, text in value.items())
        elif value not in (None, False, "", [], {}) and key not in _OF_THE_BUILDER:
            yield key, value

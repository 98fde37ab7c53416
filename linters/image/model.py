"""What the rules are told of a built image: what it says of itself, its layers, and the files in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class FileKind(StrEnum):
    """What an entry of a layer is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFile:
    """An entry of a layer, whiteouts left out. `path` begins with a slash, with bytes that are not UTF-8 escaped;
    `mode` has the permissions with setuid, setgid and sticky; `size` is in bytes; `layer` its layer's number, from 0 at
    the bottom. `kept` is False where a later layer deletes or replaces it: no container sees it, and whoever has the
    layer can read it. `read` gives up to so many bytes of its content, from the front; None where it has none."""

    path: str
    kind: FileKind
    mode: int
    uid: int
    gid: int
    size: int
    layer: int
    kept: bool = True
    read: Callable[[int], bytes] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLayer:
    """A layer of `size` bytes, uncompressed, of which so many are `wasted`: no container sees them."""

    diff_id: str
    size: int
    wasted: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What an image may have: bytes of all layers together, and bytes of them that nobody sees; None is no limit."""

    size: int | None = None
    waste: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFacts:
    """An image. `name` is what findings call it; `base` how many of its layers, from the bottom up, are its base
    image's, None where that is not known; `history` are the instructions, oldest first, layers or not."""

    name: str
    layers: tuple[ImageLayer, ...]
    base: int | None = None
    user: str = ""
    env: tuple[tuple[str, str], ...] = ()
    exposed: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    healthcheck: tuple[str, ...] = ()
    stop_signal: str = ""
    architecture: str = ""
    os: str = "linux"
    budget: Budget = Budget()

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def wasted(self) -> int:
        """Bytes of them that no container sees."""
        return sum(layer.wasted for layer in self.layers)

    def is_own(self, layer: int) -> bool:
        """Whether a layer is known not to be the base image's."""
        return self.base is not None and layer >= self.base

    @classmethod
    def of(
        cls,
        name: str,
        config: Mapping[str, Any],
        layers: tuple[ImageLayer, ...],
        *,
        base: int | None = None,
        budget: Budget | None = None,
    ) -> ImageFacts:
        """Out of an OCI image configuration, as `docker image inspect` or a layout has it; what is not of the form that
        it should have counts as not there."""
        inner = _mapping(config.get("config"))
        return cls(
            name=name,
            layers=layers,
            base=base,
            user=_text(inner.get("User")),
            env=tuple((key, value) for key, _, value in (pair.partition("=") for pair in _texts(inner.get("Env")))),
            exposed=tuple(sorted(map(str, _mapping(inner.get("ExposedPorts"))))),
            volumes=tuple(sorted(map(str, _mapping(inner.get("Volumes"))))),
            entrypoint=_texts(inner.get("Entrypoint")),
            cmd=_texts(inner.get("Cmd")),
            labels={str(key): str(value) for key, value in _mapping(inner.get("Labels")).items()},
            history=tuple(
                _text(entry.get("created_by")) for entry in config.get("history") or () if isinstance(entry, Mapping)
            ),
            healthcheck=_texts(_mapping(inner.get("Healthcheck")).get("Test")),
            stop_signal=_text(inner.get("StopSignal")),
            architecture=_text(config.get("architecture")),
            os=_text(config.get("os")) or "linux",
            budget=budget or Budget(),
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()

"""The values that cross the border of builders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from builders.bill import Bill


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryLogin:
    """What a registry is asked for base images with."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """What to build. `tag` names the result in the engine; `labels` are put on the image and nowhere else;
    `secrets` are files by the ids under which RUN steps may mount them, which leave no trace in the image;
    `registries` are logins by host (``ghcr.io``, ``registry.example.org:5000``), which go before those that the user
    who runs the build has made with `docker login`. `scratch` is a folder for what lasts as long as the build, those
    logins among it; without one it is the machine's temporary folder, where a build that is killed leaves it."""

    context: Path
    dockerfile: Path
    tag: str
    target: str | None = None
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    secrets: Mapping[str, Path] = field(default_factory=dict)
    registries: Mapping[str, RegistryLogin] = field(default_factory=dict)
    scratch: Path | None = None


class BuildEventKind(StrEnum):
    """What a build event tells."""

    STEP_STARTED = "step-started"
    STEP_OUTPUT = "step-output"
    STEP_CACHED = "step-cached"
    STEP_FINISHED = "step-finished"
    STEP_FAILED = "step-failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildEvent:
    """One thing that BuildKit said. `step` is its number (``7``), `name` the step as BuildKit titles it
    (``[build 2/5] RUN pip install flask``), `text` a line of the step's output, `seconds` how long it took."""

    kind: BuildEventKind
    step: int
    name: str = ""
    text: str = ""
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltImage:
    """An image in the engine: its ID (``sha256:…``), size in bytes, diff-IDs from the bottom up, and its OCI config."""

    image_id: str
    size: int
    diff_ids: tuple[str, ...]
    config: Mapping[str, Any]

    @property
    def exposed_ports(self) -> tuple[int, ...]:
        """The TCP ports of EXPOSE, ascending."""
        exposed = (self.config.get("config") or {}).get("ExposedPorts") or {}
        return tuple(sorted(int(port.split("/")[0]) for port in exposed if not port.endswith(("/udp", "/sctp"))))


class SquashMode(StrEnum):
    """Which layers to merge: none; those above the base image; those above the lowest so many; all; or what `auto`
    finds best."""

    AUTO = "auto"
    FROM_BASE = "from-base"
    KEEP_LAYERS = "keep-layers"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class SquashedImage:
    """An image as an OCI layout directory, with what squashing did to it.

    `digest` is the manifest's, `image_id` the config's (and so the engine's name for it after a load). Bytes are of the
    uncompressed layer tars. `proved` tells that both file trees were compared and found equal (False only when
    nothing was merged and there was nothing to compare). `bill` is what was known of the costs before; None where no
    layer had to be read.
    """

    layout: Path
    digest: str
    image_id: str
    mode: SquashMode
    layers_before: int
    layers_after: int
    bytes_before: int
    bytes_after: int
    compressed_bytes: int
    proved: bool
    note: str = ""
    bill: Bill | None = None

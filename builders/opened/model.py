"""An image that was brought here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builders.errors import ImageError
from builders.squash.blobs import Blob
from builders.squash.source import SourceImage
from registry.manifest import ImageManifest, digest_of

_BASE = "org.opencontainers.image.base"


def require_sound(config: Mapping[str, Any], name: str) -> None:
    """Raises ImageError ``image-damaged`` where a configuration has other things than it should in the places that are
    read or rewritten."""
    history, inner = config.get("history"), config.get("config")
    sound_history = history is None or (isinstance(history, list) and all(isinstance(item, dict) for item in history))
    if not sound_history or not isinstance(inner, dict | None):
        raise ImageError("image-damaged", name, "its configuration has a history or settings that are none")


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedImage:
    """`name` is what messages call it. `blobs` are the compressed layers that came with it, by diff-ID: who keeps a
    layer keeps its blob. `manifest` is the one that it came with, None where it had none (the engine's, an archive)."""

    name: str
    source: SourceImage
    blobs: Mapping[str, Blob] = field(default_factory=dict)
    manifest: ImageManifest | None = None

    @property
    def image_id(self) -> str:
        """The digest of the configuration."""
        return digest_of(self.source.config_bytes)

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those of the manifest."""
        return self.manifest.annotations if self.manifest else {}

    @property
    def labels(self) -> Mapping[str, str]:
        """Those of the configuration."""
        inner = self.source.config.get("config")
        found = inner.get("Labels") if isinstance(inner, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """From the bottom up."""
        return tuple(layer.diff_id for layer in self.source.layers)

    @property
    def base_name(self) -> str | None:
        """What the image itself says of its base: OCI's annotation, else the label of that name."""
        for said in (self.annotations, self.labels):
            name, digest = said.get(f"{_BASE}.name"), said.get(f"{_BASE}.digest")
            if name and isinstance(name, str):
                return f"{name}@{digest}" if digest and "@" not in name else name
        return None

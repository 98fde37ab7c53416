"""An image that was brought here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from builders.squash.blobs import Blob
from builders.squash.source import SourceImage
from registry.manifest import ImageManifest, digest_of

_BASE = "org.opencontainers.image.base"


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
        found = (self.source.config.get("config") or {}).get("Labels")
        return found if isinstance(found, dict) else {}

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """From the bottom up."""
        return tuple(layer.diff_id for layer in self.source.layers)

    @property
    def base_name(self) -> str | None:
        """What the image itself says of its base: OCI's annotation, else the label of that name."""
        for said in (self.annotations, self.labels):
            if name := said.get(f"{_BASE}.name"):
                digest = said.get(f"{_BASE}.digest")
                return f"{name}@{digest}" if digest and "@" not in name else name
        return None

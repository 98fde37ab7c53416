"""Descriptors and image manifests of the OCI image specification 1.1, and Docker's older twins of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from registry.errors import LayoutError


class MediaType(StrEnum):
    """Media types by what they are."""

    OCI_INDEX = "application/vnd.oci.image.index.v1+json"
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(data: bytes) -> str:
    """The canonical digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical_json(value: Any) -> bytes:
    """JSON whose bytes depend on the value alone: the order of keys as given, no blanks, UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """A blob by digest; `size` in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        raw: dict[str, Any] = {"mediaType": str(self.media_type), "digest": self.digest, "size": self.size}
        if self.annotations:
            raw["annotations"] = dict(self.annotations)
        if self.platform:
            raw["platform"] = dict(self.platform)
        return raw

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Descriptor:
        """The inverse. Raises LayoutError (`manifest-invalid`)."""
        try:
            return cls(
                media_type=str(raw["mediaType"]),
                digest=str(raw["digest"]),
                size=int(raw["size"]),
                annotations=dict(raw.get("annotations") or {}),
                platform=raw.get("platform"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LayoutError("manifest-invalid", "descriptor", f"needs mediaType, digest and size: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageManifest:
    """One image: its config and its layers from the bottom up. `raw` are the very bytes its digest is of."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest of `raw`."""
        return digest_of(self.raw)

    @classmethod
    def parse(cls, raw: bytes) -> ImageManifest:
        """Read a manifest. Raises LayoutError (`manifest-invalid`)."""
        try:
            found = json.loads(raw)
            config, layers = found["config"], found["layers"]
        except (ValueError, KeyError, TypeError) as error:
            raise LayoutError("manifest-invalid", digest_of(raw), f"no image manifest: {error!r}") from error
        return cls(
            raw=raw,
            media_type=str(found.get("mediaType") or MediaType.OCI_MANIFEST),
            config=Descriptor.from_dict(config),
            layers=tuple(Descriptor.from_dict(layer) for layer in layers),
            annotations=dict(found.get("annotations") or {}),
        )

    @classmethod
    def create(
        cls, *, config: Descriptor, layers: Sequence[Descriptor], annotations: Mapping[str, str] | None = None
    ) -> ImageManifest:
        """An OCI manifest; equal values give equal bytes."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": str(MediaType.OCI_MANIFEST),
            "config": config.as_dict(),
            "layers": [layer.as_dict() for layer in layers],
        }
        if annotations:
            value["annotations"] = dict(sorted(annotations.items()))
        return cls.parse(canonical_json(value))

"""Descriptors and image manifests, as the OCI image specification 1.1 and Docker's schema 2 have them.

A manifest is its bytes: the digest is of what was read, so `raw` is kept and never written anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from registry.errors import RegistryError
from registry.reference import is_digest

SCHEMA_VERSION = 2


class MediaType(StrEnum):
    """The media types that images are made of."""

    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    OCI_INDEX = "application/vnd.oci.image.index.v1+json"
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    OCI_FOREIGN_LAYER_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    OCI_EMPTY = "application/vnd.oci.empty.v1+json"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    DOCKER_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


MANIFEST_TYPES = frozenset({MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST})
INDEX_TYPES = frozenset({MediaType.OCI_INDEX, MediaType.DOCKER_INDEX})
FOREIGN_LAYER_TYPES = frozenset(
    {MediaType.OCI_FOREIGN_LAYER, MediaType.OCI_FOREIGN_LAYER_GZIP, MediaType.DOCKER_FOREIGN_LAYER_GZIP}
)


def digest_of(content: bytes) -> str:
    """The sha256 digest of `content`, spelled ``sha256:…``."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """`document` as compact UTF-8 JSON in its own key order: the same value gives the same bytes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """What a blob is: its media type, its digest (``sha256:…``) and its size in bytes.

    `extra` keeps fields this project has no use for (``urls``, ``artifactType``, ``data``), so that a descriptor read
    and written again is the same one.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: object, *, subject: str = "descriptor") -> Descriptor:
        """The descriptor in a decoded JSON object. Raises RegistryError ``invalid-manifest`` naming `subject`."""
        if not isinstance(value, Mapping):
            raise _invalid(subject, f"expected an object with mediaType, digest and size, got {type(value).__name__}")
        media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
        if not isinstance(media_type, str):
            raise _invalid(subject, "it has no mediaType")
        if not isinstance(digest, str) or not is_digest(digest):
            raise _invalid(subject, f"its digest {digest!r} is not one")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise _invalid(subject, f"its size {size!r} is not a number of bytes")
        platform = value.get("platform")
        known = {"mediaType", "digest", "size", "annotations", "platform"}
        return cls(
            media_type=media_type,
            digest=digest,
            size=size,
            annotations=_annotations(value, subject),
            platform=dict(platform) if isinstance(platform, Mapping) else None,
            extra={key: item for key, item in value.items() if key not in known},
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: required fields first, annotations in order of their keys."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        document.update(self.extra)
        if self.annotations:
            document["annotations"] = dict(sorted(self.annotations.items()))
        if self.platform is not None:
            document["platform"] = dict(self.platform)
        return document


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageManifest:
    """One image's manifest. `raw` are its bytes, `digest` theirs; the rest is what they say."""

    raw: bytes
    digest: str
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, raw: bytes) -> ImageManifest:
        """The manifest in `raw`. Raises RegistryError: ``invalid-manifest``, or ``manifest-is-index`` for an index."""
        digest = digest_of(raw)
        document = _decode(raw, digest)
        media_type = document.get("mediaType") or MediaType.OCI_MANIFEST
        if media_type in INDEX_TYPES or ("manifests" in document and "config" not in document):
            raise RegistryError(
                "manifest-is-index",
                digest,
                "it is an index of several images; the manifest of one image was expected",
                hint="choose one platform's manifest by its digest",
            )
        if media_type not in MANIFEST_TYPES:
            raise _invalid(digest, f"its media type {media_type!r} is not an image manifest's")
        if document.get("schemaVersion") != SCHEMA_VERSION:
            raise _invalid(digest, f"its schemaVersion is {document.get('schemaVersion')!r}, expected {SCHEMA_VERSION}")
        layers = document.get("layers")
        if not isinstance(layers, list):
            raise _invalid(digest, "it has no list of layers")
        return cls(
            raw=raw,
            digest=digest,
            media_type=media_type,
            config=Descriptor.from_dict(document.get("config"), subject=f"{digest} config"),
            layers=tuple(
                Descriptor.from_dict(layer, subject=f"{digest} layer {number}") for number, layer in enumerate(layers)
            ),
            annotations=MappingProxyType(_annotations(document, digest)),
        )

    @classmethod
    def create(
        cls,
        *,
        config: Descriptor,
        layers: Iterable[Descriptor],
        annotations: Mapping[str, str] | None = None,
        media_type: str = MediaType.OCI_MANIFEST,
    ) -> ImageManifest:
        """A new manifest. The same arguments give the same bytes, and so the same digest."""
        document: dict[str, Any] = {
            "schemaVersion": SCHEMA_VERSION,
            "mediaType": str(media_type),
            "config": config.to_dict(),
            "layers": [layer.to_dict() for layer in layers],
        }
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        return cls.parse(canonical_json(document))

    @property
    def descriptor(self) -> Descriptor:
        """What an index says of this manifest."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.raw))

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each digest once, in the order in which they are first named."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())


def _decode(raw: bytes, subject: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _invalid(subject, f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise _invalid(subject, f"expected a JSON object, got {type(document).__name__}")
    return document


def _annotations(document: Mapping[str, Any], subject: str) -> dict[str, str]:
    value = document.get("annotations") or {}
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise _invalid(subject, "its annotations are not a map of strings")
    return dict(value)


def _invalid(subject: str, message: str) -> RegistryError:
    return RegistryError("invalid-manifest", subject, message)

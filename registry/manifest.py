"""Descriptors and image manifests of the OCI image specification 1.1, and Docker's older twins of them."""

from __future__ import annotations

import hashlib
import json
import re
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
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
    OCI_EMPTY = "application/vnd.oci.empty.v1+json"
    IN_TOTO = "application/vnd.in-toto+json"


INDEXES = frozenset({MediaType.OCI_INDEX, MediaType.DOCKER_MANIFEST_LIST})
IMAGES = frozenset({MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST})
CONFIGS = frozenset({MediaType.OCI_CONFIG, MediaType.DOCKER_CONFIG})
LAYERS = frozenset(
    {
        MediaType.OCI_LAYER, MediaType.OCI_LAYER_GZIP, MediaType.OCI_LAYER_ZSTD,
        MediaType.DOCKER_LAYER, MediaType.DOCKER_LAYER_GZIP, MediaType.DOCKER_LAYER_ZSTD, MediaType.IN_TOTO,
    }
)  # fmt: skip
LARGEST_MANIFEST = 8 << 20
"""Bytes; registries need not take more than 4 MiB."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def is_foreign(media_type: str) -> bool:
    """Whether a layer is one that its maker forbids to hand on, and that lies elsewhere."""
    return ".foreign." in media_type or ".nondistributable." in media_type


def invalid_manifest(subject: str, message: str) -> LayoutError:
    """What is said of a manifest or an index that is none."""
    hint = "have it made or pushed anew; where it came from a registry, check that nothing changes it on the way"
    return LayoutError("manifest-invalid", subject, message, hint=hint)


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
    artifact_type: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        raw: dict[str, Any] = {"mediaType": str(self.media_type), "digest": self.digest, "size": self.size}
        if self.annotations:
            raw["annotations"] = dict(self.annotations)
        if self.platform:
            raw["platform"] = dict(self.platform)
        if self.artifact_type:
            raw["artifactType"] = self.artifact_type
        return raw

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Descriptor:
        """The inverse. Raises LayoutError (`manifest-invalid`)."""
        try:
            found = cls(
                media_type=str(raw["mediaType"]),
                digest=str(raw["digest"]),
                size=int(raw["size"]),
                annotations=_annotations(raw),
                platform=dict(raw["platform"]) if raw.get("platform") else None,
                artifact_type=raw.get("artifactType"),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise invalid_manifest("descriptor", f"needs mediaType, digest and size: {error}") from error
        if not DIGEST.fullmatch(found.digest):
            raise invalid_manifest("descriptor", f"`{found.digest[:100]}` is no digest")
        if found.size < 0:
            raise invalid_manifest(found.digest, f"a size of {found.size} bytes, expected 0 or more")
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageManifest:
    """One image: its config and its layers from the bottom up. `raw` are the very bytes its digest is of."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    subject: Descriptor | None = None

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
            if not (isinstance(config, dict) and isinstance(layers, list)):
                raise TypeError("config and layers are no descriptors")
            annotations = _annotations(found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise invalid_manifest(digest_of(raw), f"no image manifest: {error!r}") from error
        return cls(
            raw=raw,
            media_type=str(found.get("mediaType") or MediaType.OCI_MANIFEST),
            config=Descriptor.from_dict(config),
            layers=tuple(Descriptor.from_dict(layer) for layer in layers),
            annotations=annotations,
            artifact_type=found.get("artifactType"),
            subject=Descriptor.from_dict(found["subject"]) if found.get("subject") else None,
        )

    @property
    def is_image(self) -> bool:
        """Whether it is of an image, and not of something else that a registry keeps."""
        return self.config.media_type in CONFIGS

    @classmethod
    def create(
        cls,
        *,
        config: Descriptor,
        layers: Sequence[Descriptor],
        annotations: Mapping[str, str] | None = None,
        artifact_type: str | None = None,
        subject: Descriptor | None = None,
    ) -> ImageManifest:
        """An OCI manifest; equal values give equal bytes."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": str(MediaType.OCI_MANIFEST),
            **({"artifactType": artifact_type} if artifact_type else {}),
            "config": config.as_dict(),
            "layers": [layer.as_dict() for layer in layers],
        }
        if subject:
            value["subject"] = subject.as_dict()
        if annotations:
            value["annotations"] = dict(sorted(annotations.items()))
        return cls.parse(canonical_json(value))


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageIndex:
    """Several manifests under one name: of several platforms, their attestations, or other indexes."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: bytes) -> ImageIndex:
        """Read an index. Raises LayoutError (`manifest-invalid`)."""
        try:
            found = json.loads(raw)
            entries = found["manifests"]
            if not isinstance(entries, list):
                raise TypeError("manifests is no list")
            annotations = _annotations(found)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise invalid_manifest(digest_of(raw), f"no index of manifests: {error!r}") from error
        return cls(
            raw=raw,
            media_type=str(found.get("mediaType") or MediaType.OCI_INDEX),
            manifests=tuple(Descriptor.from_dict(entry) for entry in entries),
            annotations=annotations,
        )

    @classmethod
    def create(cls, manifests: Sequence[Descriptor]) -> ImageIndex:
        """An OCI index; equal values give equal bytes."""
        value = {
            "schemaVersion": 2,
            "mediaType": str(MediaType.OCI_INDEX),
            "manifests": [entry.as_dict() for entry in manifests],
        }
        return cls.parse(canonical_json(value))


def parse_manifest(raw: bytes, media_type: str) -> ImageManifest | ImageIndex:
    """A manifest of either kind. Raises LayoutError: `unknown-media-type` where it is of none of the kinds that images
    are made of, `foreign-layer` where it has a layer that may not be handed on, `manifest-invalid`."""
    kind = _own_kind(raw, media_type)
    if kind in INDEXES | IMAGES and _is_both(raw):
        # Whoever reads it as the other kind sees another image under the same digest (CVE-2021-41190).
        raise invalid_manifest(digest_of(raw), "it is an index and an image's manifest at once")
    if kind in INDEXES:
        return ImageIndex.parse(raw)
    if kind not in IMAGES:
        known = "expected an image manifest or an index of OCI's or Docker's version 2"
        raise LayoutError(
            "unknown-media-type",
            digest_of(raw),
            f"a manifest of the type {kind[:100] or 'none'}, {known}",
            hint="have it made or pushed anew by a tool of today",
        )
    manifest = ImageManifest.parse(raw)
    for layer in manifest.layers:
        if is_foreign(layer.media_type):
            raise LayoutError(
                "foreign-layer",
                layer.digest,
                f"the layer is of the type {layer.media_type}, whose maker forbids handing it on",
                hint="build the image on another base",
            )
        if manifest.is_image and layer.media_type not in LAYERS:
            raise LayoutError(
                "unknown-media-type",
                layer.digest,
                f"a layer of the type {layer.media_type[:100]}, expected a tar, plain or by gzip or zstd",
            )
    return manifest


def _annotations(raw: Mapping[str, Any]) -> dict[str, str]:
    """Those of a manifest or a descriptor, which are texts. Raises TypeError."""
    found = raw.get("annotations") or {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise TypeError("its annotations are no texts by name")
    return found


def _is_both(raw: bytes) -> bool:
    found = json.loads(raw)
    return "manifests" in found and ("layers" in found or "config" in found)


def _own_kind(raw: bytes, media_type: str) -> str:
    """What the manifest says that it is, which must be what whoever handed it over says."""
    try:
        own = json.loads(raw).get("mediaType")
    except (ValueError, AttributeError, RecursionError) as error:
        raise invalid_manifest(digest_of(raw), f"no manifest: {error}") from error
    if own and media_type in (INDEXES | IMAGES) and own != media_type:
        raise invalid_manifest(digest_of(raw), f"is named {media_type}, and says that it is {own}")
    return str(own or media_type)

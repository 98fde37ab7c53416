"""What is attached to an image: manifests of their own whose `subject` it is, found by the referrers API of OCI's
distribution 1.1, or where a registry has none, by the tag ``sha256-…`` that the specification names for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from registry.client import RegistryClient
from registry.errors import LayoutError, RefusedError, RegistryError
from registry.manifest import IMAGES, Descriptor, ImageIndex, ImageManifest, MediaType, digest_of, parse_manifest
from registry.subject import fallback_tag

EMPTY = b"{}"
"""The configuration of what has none."""
LARGEST = 16 << 20
"""Bytes of an attached document that are read."""
ROUNDS = 4
"""How often the tag's index is read anew, where others wrote it meanwhile. No such registry can be asked to write it
only where nobody did: two may still meet between the last look and the write, and one of them is not found then."""
NOT_FOUND = 404


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A document to attach: what kind it is, and its bytes with their own type."""

    kind: str
    media_type: str
    data: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """A document that is attached: `digest` is of the manifest that holds it, `data` the first layer's bytes."""

    kind: str
    media_type: str
    data: bytes
    digest: str
    annotations: Mapping[str, str]


def attach(
    client: RegistryClient, repository: str, subject: Descriptor, artifacts: Sequence[Artifact]
) -> tuple[Descriptor, ...]:
    """Attach documents to a manifest of the repository; each replaces what was attached of its kind. The image is not
    changed by it, nor is any of its tags. Raises RegistryError's subclasses."""
    made = tuple(_put(client, repository, subject, artifact) for artifact in artifacts)
    kinds = {artifact.kind for artifact in artifacts}
    there = client.referrers(repository, subject.digest)
    before = _in_tag(client, repository, subject.digest) if there is None else there
    if there is None:
        _name(client, repository, subject.digest, made, kinds)
    kept = {descriptor.digest for descriptor in made}
    for old in before:
        if old.artifact_type in kinds and old.digest not in kept:
            with contextlib.suppress(RegistryError):  # it is of no use, and harms nobody
                client.delete_manifest(repository, old.digest)
    return made


def attached(
    client: RegistryClient, repository: str, digest: str, kinds: Sequence[str] | None = None
) -> tuple[Attached, ...]:
    """What is attached to a manifest, of some kinds or all, as far as it can be read. Raises RegistryError's subclasses
    where the registry does not answer."""
    found = referrers(client, repository, digest)
    wanted = [entry for entry in found if kinds is None or entry.artifact_type in kinds]
    return tuple(read for entry in wanted if (read := _read(client, repository, entry, digest)) is not None)


def referrers(client: RegistryClient, repository: str, digest: str) -> tuple[Descriptor, ...]:
    """The manifests that are attached to one. Raises RegistryError's subclasses where the registry does not answer."""
    there = client.referrers(repository, digest)
    return _in_tag(client, repository, digest) if there is None else there


def name_referrers(client: RegistryClient, repository: str, digest: str, made: Sequence[Descriptor]) -> None:
    """Have manifests that the repository holds be found as what is attached to one, beside what is. Raises
    RegistryError's subclasses."""
    if client.referrers(repository, digest) is None:
        _name(client, repository, digest, made, set())


def _put(client: RegistryClient, repository: str, subject: Descriptor, artifact: Artifact) -> Descriptor:
    blobs = {digest_of(data): data for data in (EMPTY, artifact.data)}
    for digest, data in blobs.items():
        client.put_blob(repository, digest, data)
    manifest = ImageManifest.create(
        artifact_type=artifact.kind,
        config=Descriptor(media_type=MediaType.OCI_EMPTY, digest=digest_of(EMPTY), size=len(EMPTY)),
        layers=[Descriptor(media_type=artifact.media_type, digest=digest_of(artifact.data), size=len(artifact.data))],
        subject=replace(subject, annotations={}, platform=None),
        annotations=artifact.annotations,
    )
    client.put_manifest(repository, manifest.digest, manifest.raw, MediaType.OCI_MANIFEST)
    return Descriptor(
        media_type=MediaType.OCI_MANIFEST,
        digest=manifest.digest,
        size=len(manifest.raw),
        annotations=manifest.annotations,
        artifact_type=artifact.kind,
    )


def _name(client: RegistryClient, repository: str, digest: str, made: Sequence[Descriptor], kinds: set[str]) -> None:
    """Have the tag's index name them, beside what others attached."""
    tag = fallback_tag(digest)
    for _ in range(ROUNDS):
        previous, found = _index(client, repository, digest)
        mine = {entry.digest for entry in made}
        others = [entry for entry in found if entry.artifact_type not in kinds and entry.digest not in mine]
        index = ImageIndex.create([*others, *made])
        if client.manifest_digest(repository, tag) == previous:
            break
    client.put_manifest(repository, tag, index.raw, MediaType.OCI_INDEX)
    if previous not in (None, digest_of(index.raw)):
        with contextlib.suppress(RegistryError):
            client.delete_manifest(repository, str(previous))


def _in_tag(client: RegistryClient, repository: str, digest: str) -> tuple[Descriptor, ...]:
    return _index(client, repository, digest)[1]


def _index(client: RegistryClient, repository: str, digest: str) -> tuple[str | None, tuple[Descriptor, ...]]:
    """The digest of what the tag names, and what is in it."""
    try:
        fetched = client.get_manifest(repository, fallback_tag(digest))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return None, ()
        raise
    try:
        index = parse_manifest(fetched.raw, fetched.media_type)
    except LayoutError:
        return fetched.digest, ()  # Somebody else's tag of that name.
    return fetched.digest, index.manifests if isinstance(index, ImageIndex) else ()


def _read(client: RegistryClient, repository: str, entry: Descriptor, digest: str) -> Attached | None:
    """The document, or None where it is gone, too large, or of another subject."""
    if entry.media_type not in IMAGES:
        return None
    try:
        raw = client.get_manifest(repository, entry.digest).raw
        manifest = ImageManifest.parse(raw)
        if manifest.subject is None or manifest.subject.digest != digest or not manifest.layers:
            return None
        layer = manifest.layers[0]
        if layer.size > LARGEST:
            return None
        data = client.read_blob(repository, layer)
    except (LayoutError, RefusedError):
        return None
    return Attached(
        kind=manifest.artifact_type or manifest.config.media_type,
        media_type=layer.media_type,
        data=data,
        digest=entry.digest,
        annotations=manifest.annotations,
    )


def as_document(found: Attached) -> object | None:
    """Its JSON; None where it is none."""
    try:
        return json.loads(found.data)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None

"""The images of releases, out of the local registry and into it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from imageforge.config import Home, Settings
from imageforge.errors import UsageError
from imageforge.stack.catalog import services
from imageforge.stack.for_now import running_for_now
from imageforge.stack.process import read_pid_file
from registry import FetchedManifest, ImageRef, RefusedError, RegistryClient, fallback_tag, upload_blob


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """A manifest and what it needs: blobs, and other manifests where it is an index. What is `attached` to an image is
    no image of its own; `tag` is the one that leads to it."""

    repository: str
    digest: str
    media_type: str
    manifest: str
    blobs: tuple[str, ...] = field(default=())
    attached: bool = False
    tag: str | None = None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Image:
        """The inverse of `asdict`."""
        return cls(**{**raw, "blobs": tuple(raw["blobs"])})


@contextmanager
def local_registry(home: Home, settings: Settings) -> Iterator[RegistryClient]:
    """The home's registry: the one that runs, else one for the length of the block.

    Raises StackError (`program-missing`, `port-taken`, `service-not-ready`).
    """
    service = next(found for found in services(home, settings, engine="", private=False) if found.name == "registry")
    with RegistryClient(settings.registry) as client:
        if read_pid_file(service.pid_file) is not None:
            yield client
            return
        with running_for_now(service, address=("127.0.0.1", settings.registry_port)):
            yield client


def collect(references: Iterable[str], client: RegistryClient) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """The images behind references, each once and after those it needs; and the references that are not there."""
    found: dict[tuple[str, str], Image] = {}
    missing = []
    for reference in references:
        parsed = ImageRef.parse(reference)
        if parsed.registry != client.registry or parsed.digest is None:
            continue  # of another registry, which has it still
        try:
            _collect(parsed.repository, parsed.digest, client, found)
        except RefusedError as error:
            if error.code != "registry-manifest-unknown":
                raise
            missing.append(reference)
    return tuple(found.values()), tuple(missing)


def collect_attached(images: Iterable[Image], client: RegistryClient) -> tuple[Image, ...]:
    """What is attached to images, each after what it needs. Of one whose list names what is gone, or is none, nothing:
    whoever may push there may have written it."""
    found: dict[tuple[str, str], Image] = {}
    for image in images:
        tag = fallback_tag(image.digest)
        digest = client.manifest_digest(image.repository, tag)
        if digest is None:
            continue
        own: dict[tuple[str, str], Image] = {}
        try:
            _collect(image.repository, digest, client, own)
        except RefusedError as error:
            if error.code != "registry-manifest-unknown":
                raise
            continue
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        own = {key: replace(one, attached=True) for key, one in own.items()}
        own[image.repository, digest] = replace(own[image.repository, digest], tag=tag)
        found |= own
    return tuple(found.values())


def put_back(images: Iterable[Image], blobs: Path, client: RegistryClient) -> None:
    """Push images whose blobs are files named by their digests' hex."""
    for image in images:
        raw = image.manifest.encode()
        for digest in image.blobs:
            if not client.has_blob(image.repository, digest):
                upload_blob(client, image.repository, digest, blobs / digest.removeprefix("sha256:"))
        stored = client.put_manifest(image.repository, image.tag or image.digest, raw, image.media_type)
        if stored != image.digest:
            raise UsageError("backup-damaged", image.digest, "its manifest is another one", hint="take another copy")


def as_json(images: Iterable[Image]) -> bytes:
    """The list of images as a backup has it."""
    return json.dumps([asdict(image) for image in images]).encode()


def _collect(repository: str, digest: str, client: RegistryClient, found: dict[tuple[str, str], Image]) -> None:
    if (repository, digest) in found:
        return
    fetched: FetchedManifest = client.get_manifest(repository, digest)
    document = json.loads(fetched.raw)
    for inner in document.get("manifests", ()):
        _collect(repository, inner["digest"], client, found)
    blobs = [layer["digest"] for layer in document.get("layers", ())]
    if "config" in document:
        blobs.append(document["config"]["digest"])
    found[repository, digest] = Image(
        repository=repository,
        digest=digest,
        media_type=fetched.media_type,
        manifest=fetched.raw.decode(),
        blobs=tuple(dict.fromkeys(blobs)),
    )

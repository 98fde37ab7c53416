"""From an OCI layout to a registry: what is there already is not sent, and the manifest goes last."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from registry.client import RegistryClient
from registry.errors import LayoutError
from registry.layout import OciLayout
from registry.manifest import Descriptor
from registry.reference import ImageRef

UPLOADS = 3
"""Blobs sent at once; more gain nothing on one machine, and registries dislike them."""

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class PushResult:
    """What a push did. `reference` names the image by digest; bytes are of blobs, as compressed."""

    reference: ImageRef
    digest: str
    uploaded_bytes: int
    skipped_bytes: int
    uploaded_blobs: int
    skipped_blobs: int


def push(
    layout: OciLayout | Path,
    reference: ImageRef,
    *,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    client: RegistryClient | None = None,
) -> PushResult:
    """Push the layout's image under the reference's tag (if it has one) and by digest.

    `on_progress` is told (digest, bytes sent, bytes in all), from several threads. Raises RegistryError's subclasses;
    InterruptedError when `cancelled` says so: then no manifest was put, and no tag moved.
    """
    opened = layout if isinstance(layout, OciLayout) else OciLayout.open(layout)
    if client is not None:
        return _push(opened, reference, client, on_progress, cancelled or (lambda: False))
    with RegistryClient(reference.registry) as own:
        return _push(opened, reference, own, on_progress, cancelled or (lambda: False))


def _push(
    layout: OciLayout,
    reference: ImageRef,
    client: RegistryClient,
    on_progress: OnProgress | None,
    cancelled: Callable[[], bool],
) -> PushResult:
    manifest = layout.manifest()
    # A layer may stand in an image twice; it is one blob.
    blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    for blob in blobs.values():
        _require(layout, blob)

    def send(blob: Descriptor) -> bool:
        if cancelled():
            raise InterruptedError("the push was cancelled")
        if client.has_blob(reference.repository, blob.digest):
            return False

        def on_bytes(sent: int) -> None:
            if on_progress:
                on_progress(blob.digest, sent, blob.size)

        path = layout.blob_path(blob.digest)
        client.upload_blob(reference.repository, blob.digest, path, on_bytes=on_bytes, cancelled=cancelled)
        return True

    with ThreadPoolExecutor(UPLOADS, thread_name_prefix="push") as pool:
        futures = {blob.digest: pool.submit(send, blob) for blob in blobs.values()}
        sent = {digest: future.result() for digest, future in futures.items()}
    media_type = layout.manifest_descriptor().media_type
    # Under a tag it is there by its digest, too: the distribution specification's word for a push.
    named = reference.tag or manifest.digest
    digest = client.put_manifest(reference.repository, named, manifest.raw, media_type)
    uploaded = [blobs[digest] for digest, was_sent in sent.items() if was_sent]
    skipped = [blobs[digest] for digest, was_sent in sent.items() if not was_sent]
    return PushResult(
        reference=ImageRef(registry=reference.registry, repository=reference.repository, tag=None, digest=digest),
        digest=digest,
        uploaded_bytes=sum(blob.size for blob in uploaded),
        skipped_bytes=sum(blob.size for blob in skipped),
        uploaded_blobs=len(uploaded),
        skipped_blobs=len(skipped),
    )


def _require(layout: OciLayout, blob: Descriptor) -> None:
    path = layout.blob_path(blob.digest)
    if not path.is_file() or path.stat().st_size != blob.size:
        raise LayoutError(
            "blob-damaged", blob.digest, f"{path} is missing or not {blob.size} bytes long", hint="build again"
        )

"""From an OCI layout to a registry: what is there already is not sent, and the manifest goes last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from registry.access import Access
from registry.client import RegistryClient
from registry.copy import OnProgress, copy
from registry.layout import OciLayout
from registry.patience import Patience
from registry.places import LayoutSource, RegistrySink
from registry.reference import ImageRef
from registry.sessions import Sessions


@dataclass(frozen=True, kw_only=True, slots=True)
class PushResult:
    """What a push did. `reference` names the image by digest; bytes are of blobs, as compressed. What was mounted from
    another repository is among what was skipped."""

    reference: ImageRef
    digest: str
    uploaded_bytes: int
    skipped_bytes: int
    uploaded_blobs: int
    skipped_blobs: int
    mounted_bytes: int = 0


def push(
    layout: OciLayout | Path,
    reference: ImageRef,
    *,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
    client: RegistryClient | None = None,
    access: Access | None = None,
    uploads: Path | None = None,
    mount_from: Sequence[str] = (),
) -> PushResult:
    """Push the layout's image under the reference's tag (if it has one) and by digest.

    `on_progress` is told (digest, bytes sent, bytes in all), from several threads. `uploads` is a folder where what is
    interrupted is kept for the next call; `mount_from` are repositories of the registry that may have the layers.

    Raises RegistryError's subclasses; InterruptedError when `cancelled` says so: then no manifest was put, and no tag
    moved.
    """
    opened = layout if isinstance(layout, OciLayout) else OciLayout.open(layout)
    asked = cancelled or (lambda: False)
    own = (
        nullcontext(client)
        if client
        else RegistryClient(reference.registry, access=access, patience=Patience(), cancelled=asked)
    )
    with own as used:
        result = copy(
            LayoutSource(layout=opened),
            RegistrySink(client=used, reference=reference, sessions=Sessions(uploads), mount_from=lambda: mount_from),
            on_progress=on_progress,
            cancelled=asked,
        )
    return PushResult(
        reference=ImageRef(
            registry=reference.registry, repository=reference.repository, tag=None, digest=result.digest
        ),
        digest=result.digest,
        uploaded_bytes=result.sent_bytes,
        skipped_bytes=result.there_bytes + result.mounted_bytes,
        uploaded_blobs=result.sent_blobs,
        skipped_blobs=result.there_blobs + result.mounted_blobs,
        mounted_bytes=result.mounted_bytes,
    )

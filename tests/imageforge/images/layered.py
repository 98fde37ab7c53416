"""Images of layers that a test makes, as OCI layouts."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from registry import Descriptor, ImageManifest, MediaType, OciLayout
from tests.builders.squash.layers import Item, tar_of


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put_image(
    folder: Path,
    layers: Sequence[Sequence[Item] | bytes],
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    media_type: str = MediaType.OCI_LAYER_GZIP,
) -> ImageManifest:
    """The image in the layout at `folder`, which is made; layers are items or a tar's bytes."""
    layout = OciLayout.create(folder)
    tars = [layer if isinstance(layer, bytes) else tar_of(layer) for layer in layers]
    blobs = [gzip.compress(tar, mtime=0) if media_type.endswith("gzip") else tar for tar in tars]
    full = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]},
        **(config or {}),
    }
    raw = json.dumps(full).encode()
    manifest = ImageManifest.create(
        config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=layout.add_blob(raw), size=len(raw)),
        layers=[Descriptor(media_type=media_type, digest=layout.add_blob(blob), size=len(blob)) for blob in blobs],
        annotations=annotations,
    )
    layout.put_manifest(manifest, name)
    return manifest

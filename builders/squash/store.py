"""An image out of the engine's own folders, where it is on this machine and they may be read.

overlay2 engines keep, for each layer, the list of fragments that tar-split made when the layer came
(image/overlay2/layerdb/sha256/CHAIN/tar-split.json.gz) and the layer's files (overlay2/CACHE-ID/diff); put together
they are the layer's tar, byte for byte. Its digest must be the diff-ID, so a surprise is noticed and not believed. An
engine that is asked to save an image writes all of it to a temporary folder before the first byte comes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from builders.engine import Endpoint, EngineFacts
from builders.errors import SquashError
from builders.squash.source import Layer, SourceImage
from builders.squash.tarsplit import Keeper, TarSplit

_KEPT = 32 << 20
"""Bytes of what an image's lists say that are kept: some thirty thousand entries."""


def read_store(
    image_id: str,
    *,
    endpoint: Endpoint,
    facts: EngineFacts,
    known: Mapping[str, int],
) -> SourceImage | None:
    """The image with its layers where they lie; None where the store is elsewhere, of another kind, unreadable, or not
    what it should be. Sizes that are `known`, diff-ID to bytes, are not reckoned. Only the lists of files are read:
    that the layers are what their diff-IDs say shows when their contents are (`Layer.verify`)."""
    local = endpoint.host.startswith("unix://") and facts.storage_driver == "overlay2" and not facts.containerd_store
    if not local:
        return None
    root = Path(facts.root_dir)
    try:
        raw = (root / "image/overlay2/imagedb/content/sha256" / image_id.removeprefix("sha256:")).read_bytes()
        if f"sha256:{hashlib.sha256(raw).hexdigest()}" != image_id:
            return None
        config = json.loads(raw)
        diff_ids = config["rootfs"].get("diff_ids") or []
        records = [_record(root, chain) for chain in chain_ids(diff_ids)]
        keeper = Keeper(_KEPT)
        layers = [
            _layer(root, record, diff_id, known.get(diff_id), keeper=keeper)
            for diff_id, record in zip(diff_ids, records, strict=True)
        ]
    except (OSError, ValueError, KeyError, TypeError, SquashError):
        return None
    return SourceImage(config_bytes=raw, config=config, layers=tuple(layers))


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The ChainID of each layer (OCI image specification, "Layer ChainID")."""
    chains: list[str] = []
    for diff_id in diff_ids:
        joined = f"{chains[-1]} {diff_id}" if chains else ""
        chains.append(f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}" if chains else diff_id)
    return chains


def _record(root: Path, chain: str) -> Path:
    """Where the engine keeps the list of a layer."""
    return root / "image/overlay2/layerdb/sha256" / chain.removeprefix("sha256:") / "tar-split.json.gz"


def _layer(root: Path, record: Path, diff_id: str, size: int | None, *, keeper: Keeper) -> Layer:
    """Raises OSError and SquashError where the store is not as it should be."""
    files = os.fsencode(root / "overlay2" / record.with_name("cache-id").read_text().strip() / "diff")
    split = TarSplit.read(record, files, keeper=keeper)
    size = split.size() if size is None else size
    return Layer(diff_id=diff_id, size=size, split=split)

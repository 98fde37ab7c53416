"""An image out of the engine's own folders, where it is on this machine and they may be read.

overlay2 engines keep, for each layer, the list of fragments that tar-split made when the layer came
(image/overlay2/layerdb/sha256/CHAIN/tar-split.json.gz) and the layer's files (overlay2/CACHE-ID/diff); put together
they are the layer's tar, byte for byte. Its digest must be the diff-ID, so a surprise is noticed and not believed. An
engine that is asked to save an image writes all of it to a temporary folder before the first byte comes.
"""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.engine import Endpoint, EngineFacts
from builders.squash.source import Layer, SourceImage

_CHUNK = 1 << 20
_RAW_BYTES = 2
"""tar-split's type of a fragment that carries bytes; type 1 names a file."""


def read_store(
    image_id: str,
    *,
    endpoint: Endpoint,
    facts: EngineFacts,
    folder: Path,
    check: Callable[[], None],
    known: Mapping[str, int],
) -> SourceImage | None:
    """The image with its layers as files in `folder`; None where the store is elsewhere, of another kind, unreadable,
    or not what its digests say. The layers that are `known`, diff-ID to size in bytes, are not read. `check` is called
    now and then, and may raise."""
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
        layers = []
        for number, (diff_id, chain) in enumerate(zip(diff_ids, chain_ids(diff_ids), strict=True)):
            if diff_id in known:
                layers.append(Layer(path=None, diff_id=diff_id, size=known[diff_id]))
                continue
            layer = _copy(_chunks(root, chain, check), folder / f"layer-{number}", diff_id)
            if layer is None:
                return None
            layers.append(layer)
    except (OSError, ValueError, KeyError, EOFError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        return None
    return SourceImage(config_bytes=raw, config=config, layers=tuple(layers))


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The ChainID of each layer (OCI image specification, "Layer ChainID")."""
    chains: list[str] = []
    for diff_id in diff_ids:
        joined = f"{chains[-1]} {diff_id}" if chains else ""
        chains.append(f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}" if chains else diff_id)
    return chains


def _copy(chunks: Iterator[bytes], path: Path, diff_id: str) -> Layer | None:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
    return Layer(path=path, diff_id=diff_id, size=size) if f"sha256:{digest.hexdigest()}" == diff_id else None


def _chunks(root: Path, chain: str, check: Callable[[], None]) -> Iterator[bytes]:
    """A layer's tar. Raises OSError, ValueError or KeyError where the store is not as it should be."""
    record = root / "image/overlay2/layerdb/sha256" / chain.removeprefix("sha256:")
    files = os.fsencode(root / "overlay2" / (record / "cache-id").read_text().strip() / "diff")
    with gzip.open(record / "tar-split.json.gz", "rt", encoding="utf-8") as fragments:
        for number, line in enumerate(fragments):
            if number % 1000 == 0:
                check()
            fragment = json.loads(line)
            if fragment["type"] == _RAW_BYTES:
                yield base64.b64decode(fragment.get("payload") or "")
            elif fragment.get("size"):
                yield from _content(files + b"/" + _name(fragment), int(fragment["size"]))


def _content(path: bytes, size: int) -> Iterator[bytes]:
    with open(path, "rb") as handle:  # noqa: PTH123 - names in layers are bytes
        while size:
            chunk = handle.read(min(_CHUNK, size))
            if not chunk:
                raise OSError(f"{path!r} is shorter than its layer says")
            size -= len(chunk)
            yield chunk


def _name(fragment: dict[str, Any]) -> bytes:
    raw = fragment.get("name_raw")
    name = base64.b64decode(raw) if raw else str(fragment["name"]).encode()
    if b".." in name.split(b"/"):
        raise ValueError(f"the layer's list of files leads out of it: {name!r}")
    return name

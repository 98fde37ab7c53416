"""An overlay2 engine's record of a layer, made by hand: tar-split's list of fragments, and the files."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from builders.squash.source import Layer
from builders.squash.tarsplit import Keeper, TarSplit


def split_layer(folder: Path, raw: bytes, *, keeper: Keeper | None = None) -> Layer:
    """The layer whose tar is `raw`, its files below `folder`. Where a path comes twice the later one has its place, and
    the layer is not what it was."""
    lines, position = [], 0
    diff = os.fsencode(folder / "diff")
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        for entry in tar:
            if not entry.isreg() or not entry.size:
                continue
            name = entry.name.encode("utf-8", "surrogateescape").strip(b"/")
            lines.append(_raw(raw[position : entry.offset_data]))
            lines.append(_named(name, entry.size))
            position = entry.offset_data + entry.size
            path = Path(os.fsdecode(diff + b"/" + name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw[entry.offset_data : position])
    lines.append(_raw(raw[position:]))
    record = folder / "tar-split.json.gz"
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line | {"position": at}, separators=(",", ":")) + "\n" for at, line in enumerate(lines))
    record.write_bytes(gzip.compress(text.encode(), mtime=0))
    return Layer(
        diff_id=f"sha256:{hashlib.sha256(raw).hexdigest()}",
        size=len(raw),
        split=TarSplit.read(record, diff, keeper=keeper),
    )


def _raw(data: bytes) -> dict[str, object]:
    return {"type": 2, "payload": base64.b64encode(data).decode()}


def _named(name: bytes, size: int) -> dict[str, object]:
    try:
        told: dict[str, object] = {"name": name.decode()}
    except UnicodeDecodeError:
        told = {"name_raw": base64.b64encode(name).decode()}
    return {"type": 1, **told, "size": size, "payload": "AAAAAAAAAAA="}

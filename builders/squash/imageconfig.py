"""The image's configuration after a squash: the same, but for its layers and its history. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def squashed_config(config: Mapping[str, Any], diff_ids: Sequence[str], *, kept: int) -> dict[str, Any]:
    """The configuration of an image with these layers, of which the first `kept` are as they were.

    The history keeps all its entries: those of merged layers stay as empty ones, and one more carries the merged layer.
    A history that does not fit the layers is dropped, because a wrong one misleads.
    """
    changed = dict(config)
    before = len((config.get("rootfs") or {}).get("diff_ids") or ())
    changed["rootfs"] = {**(config.get("rootfs") or {"type": "layers"}), "diff_ids": list(diff_ids)}
    history = [dict(entry) for entry in config.get("history") or ()]
    if sum(not entry.get("empty_layer") for entry in history) != before:
        changed.pop("history", None)
        return changed
    seen = 0
    for entry in history:
        if entry.get("empty_layer"):
            continue
        seen += 1
        if seen > kept:
            entry["empty_layer"] = True
    if len(diff_ids) > kept:
        carrier = {"created_by": "imageforge squash", "comment": f"merged {before - kept} layers"}
        if config.get("created"):
            carrier = {"created": str(config["created"]), **carrier}
        history.append(carrier)
    changed["history"] = history
    return changed

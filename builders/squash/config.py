"""The configuration of a squashed image: everything as it was, but for the layers and their history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

CREATED_BY = "imageforge squash"


def rewrite(config: Mapping[str, Any], *, start: int, diff_ids: Sequence[str]) -> bytes:
    """`config` for an image whose layers from `start` on became what `diff_ids`, the new list, has there (one or none).

    The same arguments give the same bytes. Unknown fields and the order of keys stay.
    """
    changed = dict(config)
    before = list((config.get("rootfs") or {}).get("diff_ids") or [])
    changed["rootfs"] = {**(config.get("rootfs") or {"type": "layers"}), "diff_ids": list(diff_ids)}
    history = _history(config.get("history") or [], start=start, count=len(before), kept_one=len(diff_ids) > start)
    if history is None:
        changed.pop("history", None)
    else:
        changed["history"] = history
    return json.dumps(changed, ensure_ascii=False, separators=(",", ":")).encode()


def _history(
    entries: Sequence[Mapping[str, Any]], *, start: int, count: int, kept_one: bool
) -> list[dict[str, Any]] | None:
    """The history with one entry for the merged layer after those that it was merged from, which become empty.

    None where `entries` do not tell of `count` layers: a history that is wrong is worse than none, and engines refuse
    an image whose history and layers disagree.
    """
    if sum(not entry.get("empty_layer") for entry in entries) != count:
        return None
    result: list[dict[str, Any]] = []
    seen, last = 0, 0
    for entry in entries:
        layer = not entry.get("empty_layer")
        merged = layer and seen >= start
        result.append({**entry, "empty_layer": True} if merged else dict(entry))
        seen += layer
        if merged:
            last = len(result)
    if kept_one:
        result.insert(last, _merged_entry(result[last - 1], start, count))
    return result


def _merged_entry(last: Mapping[str, Any], start: int, count: int) -> dict[str, Any]:
    """The time is that of the last merged layer, so that the same image gives the same bytes."""
    entry: dict[str, Any] = {"created": last["created"]} if "created" in last else {}
    entry["created_by"] = CREATED_BY
    entry["comment"] = f"layers {start + 1} to {count} merged into one"
    return entry

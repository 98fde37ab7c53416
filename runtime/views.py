"""The objects as they stand and as an apply would leave them, as text that may be shown: Secrets are masked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runtime.manifest import dump
from runtime.manifest.kinds import KINDS
from runtime.model import ObjectView
from runtime.secret import STARS, masked, unsealed
from runtime.store import Store, StoredObject


def object_views(store: Store, kind: str | None, namespace: str | None) -> Iterable[ObjectView]:
    """The objects of a kind or of all, of a namespace or of all, by kind, namespace and name."""
    for known in sorted(KINDS) if kind is None else [kind]:
        for stored in store.objects(known):
            if namespace in (None, stored.namespace):
                yield ObjectView(
                    kind=stored.kind,
                    namespace=stored.namespace,
                    name=stored.name,
                    generation=stored.generation,
                    deleting=stored.deleting,
                    manifest=shown(stored),
                )


def shown(stored: StoredObject | None) -> str:
    """The object as YAML; nothing where there is none."""
    if stored is None:
        return ""
    return dump([masked(stored.data) if stored.kind == "Secret" else stored.data])


def proposed(kind: str, data: Mapping[str, Any], *, same: bool) -> str:
    """A manifest that was not applied yet, as YAML. Of a Secret's values it says whether they are the `same`."""
    if kind != "Secret":
        return dump([data])
    keys = sorted({**(data.get("data") or {}), **(data.get("stringData") or {})})
    values: dict[str, Any] = {key: STARS if same else f"{STARS} changed" for key in keys}
    return dump([{**unsealed(data), "stringData": values}])

"""PersistentVolumeClaims: volumes that outlive the replicas that use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.manifest.cursor import Cursor
from runtime.manifest.schema import OBJECT_NAME, Amount, Many, Object, Text, metadata, words

RECLAIM_ANNOTATION = "imageforge.io/reclaim"
"""``Delete`` has the data go with the claim; without a word, or with ``Retain``, they stay."""

_NO_VOLUMES = (
    "there are no PersistentVolumes here to choose from: every claim has a volume of the engine, made for it; take it "
    "out, and fill the volume by a Job, or show a folder of this machine by a hostPath"
)
_SOURCE = Object(
    fields={
        "kind": Text(
            choices=("PersistentVolumeClaim",),
            unsupported=("VolumeSnapshot",),
            hint="there are no snapshots here; take a copy of another claim, or fill the volume by a Job",
        ),
        "name": OBJECT_NAME,
        "apiGroup": Text(choices=("",)),
    },
    required=("kind", "name"),
    known=words("namespace"),
)
CLAIM = Object(
    fields={
        "apiVersion": Text(),
        "kind": Text(),
        "metadata": metadata(OBJECT_NAME),
        "spec": Object(
            fields={
                "accessModes": Many(
                    item=Text(
                        choices=("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"), unsupported=("ReadWriteOncePod",)
                    ),
                    least=1,
                ),
                "resources": Object(
                    fields={"requests": Object(fields={"storage": Amount()}, required=("storage",))},
                    required=("requests",),
                    known=words("limits"),
                ),
                "storageClassName": Text(),
                "volumeAttributesClassName": Text(),
                "dataSource": _SOURCE,
                "dataSourceRef": _SOURCE,
                "volumeMode": Text(choices=("Filesystem",), unsupported=("Block",)),
            },
            required=("accessModes", "resources"),
            known=words("selector volumeName"),
            hints={"selector": _NO_VOLUMES, "volumeName": _NO_VOLUMES},
        ),
    },
    required=("metadata", "spec"),
    known=words("status"),
)


def going(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same object, with a word that what it holds goes with it."""
    meta = data["metadata"]
    annotations = {**(meta.get("annotations") or {}), RECLAIM_ANNOTATION: "Delete"}
    return {**data, "metadata": {**meta, "annotations": annotations}}


def is_going(data: Mapping[str, Any]) -> bool:
    """Whether it has that word."""
    return (data["metadata"].get("annotations") or {}).get(RECLAIM_ANNOTATION) == "Delete"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """v1 PersistentVolumeClaim. `storage` is what it asks for, as written: the engine's volumes have no size. With
    `delete` the data go with the claim. Before its first use it is filled with what the claim `source` has, empty for
    none."""

    namespace: str
    name: str
    storage: str
    access_modes: tuple[str, ...]
    delete: bool = False
    source: str = ""


def claim(root: Cursor) -> Claim:
    """A claim from a tree that the schema has passed."""
    meta, spec = root.get("metadata"), root.get("spec")
    reclaim = meta.get("annotations").get(RECLAIM_ANNOTATION)
    if reclaim.plain("Retain") not in ("Retain", "Delete"):
        raise reclaim.fail("invalid-value", f' is "{reclaim.plain()}", expected Retain or Delete')
    said, other = spec.get("dataSource"), spec.get("dataSourceRef")
    source, also = said.get("name").plain(""), other.get("name").plain("")
    if source and also and source != also:
        raise other.fail("invalid-value", f'.name is "{also}", and dataSource.name "{source}": they must be the same')
    if meta.get("name").plain() in (source, also):
        raise (said if source else other).fail("invalid-value", ".name is the claim itself")
    return Claim(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        storage=str(spec.get("resources").get("requests").get("storage").plain()),
        access_modes=tuple(spec.get("accessModes").plain()),
        delete=reclaim.plain() == "Delete",
        source=source or also,
    )

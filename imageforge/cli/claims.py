"""The PersistentVolumeClaims that objects use: which of them go with what is deleted, and which stay; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import yaml

from imageforge.handoff.pods import pod_of
from runtime import ObjectView

CLAIM = "PersistentVolumeClaim"
RECLAIM = "imageforge.io/reclaim"
Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stays:
    """A claim that stays where what uses it goes, with one of those that use it still."""

    key: Key
    user: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Volumes:
    """What becomes of volumes: claims that are deleted too, claims that stay, and claims that go while what they hold
    stays."""

    also: tuple[Key, ...] = ()
    stay: tuple[Stays, ...] = ()
    kept: tuple[Key, ...] = ()


def volumes_of(views: Sequence[ObjectView], deleted: Collection[Key], *, volumes: bool) -> Volumes:
    """What becomes of the volumes of what is deleted; `volumes` says that they are to go. A claim that something else
    uses stays in any case, unless it is deleted by name."""
    gone = {(view.kind, view.namespace, view.name) for view in views if _goes(view, deleted)}
    going, users = set[Key](), dict[Key, str]()
    for view in views:
        goes = (view.kind, view.namespace, view.name) in gone
        for name in _used_by(view):
            key = (CLAIM, view.namespace, name)
            if goes:
                going.add(key)
            else:
                users.setdefault(key, f"{view.kind.lower()}/{view.name}")
    claims = {(view.kind, view.namespace, view.name): view for view in views if view.kind == CLAIM}
    touched = sorted(key for key in going if key in claims and key not in gone)
    also = tuple(key for key in touched if volumes and key not in users)
    kept = () if volumes else tuple(key for key in sorted(claims) if key in gone and not _says_delete(claims[key]))
    return Volumes(
        also=also,
        stay=tuple(Stays(key=key, user=users.get(key, "")) for key in touched if key not in also),
        kept=kept,
    )


def _goes(view: ObjectView, deleted: Collection[Key]) -> bool:
    return (view.kind, view.namespace, view.name) in deleted or ("Namespace", "", view.namespace) in deleted


def _used_by(view: ObjectView) -> list[str]:
    there = pod_of(view.kind, yaml.safe_load(view.manifest))
    if there is None:
        return []
    _, pod = there
    found = (volume.get("persistentVolumeClaim") for volume in pod.get("volumes") or ())
    return [str(claim["claimName"]) for claim in found if claim]


def _says_delete(view: ObjectView) -> bool:
    return (yaml.safe_load(view.manifest)["metadata"].get("annotations") or {}).get(RECLAIM) == "Delete"

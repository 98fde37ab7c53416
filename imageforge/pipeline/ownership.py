"""What belongs to an app: its releases say what it is, and nobody else changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from imageforge.pipeline.manifests import APP, CLAIM, MANAGED_BY, NAME, PART_OF, RELEASE, US
from imageforge.pipeline.references import references
from runtime import AppliedObject, Conflict, ControllerClient, ObjectView


def owner(manifest: Mapping[str, Any]) -> str:
    """The app that an object belongs to; empty where it belongs to none."""
    labels = manifest["metadata"].get("labels") or {}
    template = (manifest.get("spec") or {}).get("template") if manifest.get("kind") == "Deployment" else None
    annotations = ((template or {}).get("metadata") or {}).get("annotations") or {}
    if labels.get(MANAGED_BY) != US and RELEASE not in annotations:
        return ""
    return str(labels.get(PART_OF) or labels.get(NAME) or manifest["metadata"]["name"])


def bringer(manifest: Mapping[str, Any]) -> str:
    """The app whose repository brought an object, also where others may change it, as they may a claim; empty for
    none."""
    if manifest.get("kind") == CLAIM:
        return str((manifest["metadata"].get("annotations") or {}).get(APP, ""))
    return owner(manifest)


def refuse_owned(controller: ControllerClient, kind: str, namespace: str, name: str) -> None:
    """Raise Conflict (`owned-by-app`) where the object is there and an app's."""
    refuse_owned_views(view for view in controller.views(kind, namespace) if view.name == name)


def refuse_owned_views(views: Iterable[ObjectView]) -> None:
    """The same for any of these. A Job that ran a command of an app's is nobody's any more."""
    for view in views:
        app = owner(yaml.safe_load(view.manifest)) if view.kind != "Job" else ""
        if app:
            raise Conflict(
                "owned-by-app",
                f"{view.kind} {view.namespace}/{view.name}",
                f"it belongs to the app {app}, whose releases say what runs",
                hint=f"imageforge deploy, scale, restart, rollback or apps delete {app}",
                kept="nothing was changed",
            )


def refuse_taken(views: Iterable[ObjectView], app: str, namespace: str, manifests: str) -> None:
    """Raise Conflict (`object-taken`) where an app's manifests would change what is there and is not the app's, or take
    something of what is another app's: who may push to the one need not be one who may see the other."""
    there = {(view.kind, view.name): yaml.safe_load(view.manifest) for view in views}
    for document in yaml.safe_load_all(manifests):
        kind, name = document["kind"], document["metadata"]["name"]
        _refuse_others(there, app, namespace, document)
        found = there.get((kind, name))
        whose = "" if found is None else bringer(found)
        part_of = "" if found is None else (found["metadata"].get("labels") or {}).get(PART_OF)
        if found is None or app == (whose or part_of):
            continue
        raise Conflict(
            "object-taken",
            f"{kind} {namespace}/{name}",
            f"it belongs to the app {whose}" if whose else "it is there already, and no app's",
            hint="give the one in the repository another name"
            + ("" if whose else f", or delete the other: imageforge delete {kind.lower()} {name}"),
            kept="nothing was released",
        )


def _refuse_others(
    there: Mapping[tuple[str, str], Mapping[str, Any]], app: str, namespace: str, document: Mapping[str, Any]
) -> None:
    for key in sorted(references(document)):
        whose = bringer(there[key]) if key in there else ""
        if whose not in ("", app):
            raise Conflict(
                "object-taken",
                f"{document['kind']} {namespace}/{document['metadata']['name']}",
                f"it takes the {key[0]} {key[1]}, which belongs to the app {whose}",
                hint="let the repository bring one of its own; one that no app has may be taken by all",
                kept="nothing was released",
            )


def refuse_other_selectors(live: str, app: str, namespace: str, manifests: str) -> None:
    """Raise Conflict (`selector-changed`) where a Deployment of an app's would select other pods than it does in the
    live release: the runtime would refuse that after the release command has run."""
    stands = _selectors(live)
    for name, selector in _selectors(manifests).items():
        if stands.get(name, selector) != selector:
            said = ", ".join(f"{key}: {value}" for key, value in stands[name].items())
            raise Conflict(
                "selector-changed",
                f"Deployment {namespace}/{name}",
                f"spec.selector of a Deployment cannot be changed, and that of the one that runs is {said}",
                hint=f"let it select by that, and its pods have it; or begin anew: imageforge apps delete {app}",
                kept="nothing was released",
            )


def _selectors(manifests: str) -> dict[str, dict[str, str]]:
    """By the Deployment's name."""
    return {
        item["metadata"]["name"]: item["spec"]["selector"]["matchLabels"]
        for item in yaml.safe_load_all(manifests)
        if item["kind"] == "Deployment"
    }


def refuse_changes_of_owned(controller: ControllerClient, checked: Iterable[AppliedObject]) -> None:
    """The same for what an apply would change."""
    for item in checked:
        if item.change == "configured":
            refuse_owned(controller, item.kind, item.namespace, item.name)

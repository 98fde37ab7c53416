"""What belongs to an app: its releases say what it is, and nobody else changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from imageforge.pipeline.manifests import NAME, PART_OF, RELEASE
from runtime import AppliedObject, Conflict, ControllerClient

MANAGED_BY = "app.kubernetes.io/managed-by"
US = "imageforge"


def owner(manifest: Mapping[str, Any]) -> str:
    """The app that an object belongs to; empty where it belongs to none."""
    labels = manifest["metadata"].get("labels") or {}
    template = (manifest.get("spec") or {}).get("template") if manifest.get("kind") == "Deployment" else None
    annotations = ((template or {}).get("metadata") or {}).get("annotations") or {}
    if labels.get(MANAGED_BY) != US and RELEASE not in annotations:
        return ""
    return str(labels.get(PART_OF) or labels.get(NAME) or manifest["metadata"]["name"])


def refuse_owned(controller: ControllerClient, kind: str, namespace: str, name: str) -> None:
    """Raise Conflict (`owned-by-app`) where the object is there and an app's."""
    found = (view for view in controller.views(kind, namespace) if view.name == name)
    for view in found:
        app = owner(yaml.safe_load(view.manifest))
        if app:
            raise Conflict(
                "owned-by-app",
                f"{kind} {namespace}/{name}",
                f"it belongs to the app {app}, whose releases say what runs",
                hint=f"imageforge deploy, scale, restart, rollback or apps delete {app}",
                kept="nothing was changed",
            )


def refuse_changes_of_owned(controller: ControllerClient, checked: Iterable[AppliedObject]) -> None:
    """The same for what an apply would change."""
    for item in checked:
        if item.change == "configured":
            refuse_owned(controller, item.kind, item.namespace, item.name)

"""Who says how many replicas of a Deployment run, where it is not who asks: an app, or a HorizontalPodAutoscaler."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from runtime import Conflict, ControllerClient, DeploymentStatus, ObjectView

AUTOSCALER = "HorizontalPodAutoscaler"


def refuse_owned(status: DeploymentStatus, command: str) -> None:
    """Raise Conflict (`owned-by-app`) where it belongs to an app."""
    if status.release:
        raise Conflict(
            "owned-by-app",
            f"Deployment {status.namespace}/{status.name}",
            f"it belongs to the app {status.app}, which is asked by its name",
            hint=f"imageforge {command}",
            kept="nothing was changed",
        )


def process_of(status: DeploymentStatus) -> str:
    """The word for it in `scale APP`: nothing for web, else ``worker=``."""
    return f"{status.component}=" if status.component and status.name != status.app else ""


def autoscaler_of(controller: ControllerClient, namespace: str, name: str) -> str:
    """The name of the autoscaler that a Deployment has; empty for none."""
    return autoscaler_in(controller.views(AUTOSCALER, namespace), name)


def autoscaler_in(views: Iterable[ObjectView], name: str) -> str:
    """The same, among the autoscalers of its namespace."""
    for view in views:
        target = yaml.safe_load(view.manifest)["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == ("Deployment", name) and not view.deleting:
            return view.name
    return ""

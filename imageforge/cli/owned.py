"""Who else decides on the replicas of a Deployment: said to whoever changes them by hand."""

from __future__ import annotations

from collections.abc import Iterable

from imageforge.cli.output import say
from runtime import Conflict, ControllerClient, DeploymentStatus, RuntimeFailure


def tell_owners(controller: ControllerClient, namespace: str, deployments: Iterable[str]) -> None:
    """Name the autoscalers of these Deployments, which may set another number at their next look."""
    for name in deployments:
        for owner in _owners(controller, namespace, name):
            say(
                f"horizontalpodautoscaler/{owner} scales deployment/{name}, and may set another number soon; "
                "0 switches it off"
            )


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


def _owners(controller: ControllerClient, namespace: str, name: str) -> tuple[str, ...]:
    try:
        return controller.autoscalers_of(namespace, name)
    except RuntimeFailure as error:
        # A controller of an earlier version, which is replaced in a moment, has none.
        if error.code != "unknown-method":
            raise
        return ()

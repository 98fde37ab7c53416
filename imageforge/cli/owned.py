"""Who else decides on the number of replicas: said to whoever sets it by hand."""

from __future__ import annotations

from collections.abc import Iterable

from imageforge.cli.output import say
from runtime import ControllerClient, RuntimeFailure


def tell_owners(controller: ControllerClient, namespace: str, deployments: Iterable[str]) -> None:
    """Name the autoscalers of these Deployments, which may set another number at their next look."""
    for name in deployments:
        for owner in _owners(controller, namespace, name):
            say(
                f"horizontalpodautoscaler/{owner} scales deployment/{name}, and may set another number soon; "
                "0 switches it off"
            )


def _owners(controller: ControllerClient, namespace: str, name: str) -> tuple[str, ...]:
    try:
        return controller.autoscalers_of(namespace, name)
    except RuntimeFailure as error:
        # A controller of an earlier version, which is replaced in a moment, has none.
        if error.code != "unknown-method":
            raise
        return ()

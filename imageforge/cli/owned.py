"""Who else decides on the number of replicas: said to whoever sets it by hand."""

from __future__ import annotations

from collections.abc import Iterable

from imageforge.cli.output import say
from runtime import ControllerClient


def tell_owners(controller: ControllerClient, namespace: str, deployments: Iterable[str]) -> None:
    """Name the autoscalers of these Deployments, which may set another number at their next look."""
    for name in deployments:
        for owner in controller.autoscalers_of(namespace, name):
            say(
                f"horizontalpodautoscaler/{owner} scales deployment/{name}, and may set another number soon; "
                "0 switches it off"
            )

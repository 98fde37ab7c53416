"""Waiting for a change that is no release: scale and restart."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from imageforge.cli.output import say
from imageforge.errors import DeployFailed
from imageforge.pipeline.trouble import trouble
from runtime import RolloutPhase

if TYPE_CHECKING:
    from imageforge.cli.objects import Objects
    from runtime import ControllerClient

NAMESPACE = "default"
"""Where apps are."""


def settle(controller: ControllerClient, names: Iterable[str], seconds: float) -> None:
    """Wait until an app's Deployments are as they were asked to be. Raises DeployFailed (`rollout-stalled`) after
    `seconds`."""
    deadline = time.monotonic() + seconds
    for name in names:
        _settle(controller, name, max(1.0, deadline - time.monotonic()))


def settle_in(controller: Objects, namespace: str, name: str) -> None:
    """Wait until a Deployment of a manifest is rolled out. Raises DeployFailed (`rollout-stalled`) when it comes no
    further for longer than its own progressDeadlineSeconds."""
    said = ""
    for status in controller.watch(namespace, name):
        line = f"{name}: {status.updated} of {status.desired} updated, {status.available} available{trouble(status)}"
        if line != said:
            said = line
            say(line)
        if status.observed_generation < status.generation:
            continue
        if status.phase is RolloutPhase.COMPLETE:
            return
        if status.phase is RolloutPhase.STALLED:
            raise DeployFailed(
                "rollout-stalled",
                f"Deployment {namespace}/{name}",
                status.message,
                hint=f"imageforge describe deployment {name} -n {namespace}",
            )
    raise DeployFailed("rollout-stalled", f"Deployment {namespace}/{name}", "it was deleted")


def _settle(controller: ControllerClient, app: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    said = ""
    for status in controller.watch(NAMESPACE, app, timeout=seconds):
        line = f"{status.ready}/{status.desired} ready, {status.current} in all"
        if line != said:
            said = line
            say(line)
        if status.observed_generation >= status.generation and status.phase is RolloutPhase.COMPLETE:
            return
        if status.phase is RolloutPhase.STALLED or time.monotonic() > deadline:
            raise DeployFailed(
                "rollout-stalled", app, status.message or line, hint=f"imageforge ps {app}; imageforge logs {app}"
            )
    raise DeployFailed("rollout-stalled", app, f"not done after {seconds:.0f} s", hint=f"imageforge ps {app}")

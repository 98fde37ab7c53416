"""A Job that runs another command where a Deployment would run its own: same image, environment, secrets and user."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from imageforge.config.command import literal
from imageforge.errors import UsageError

NOT_IN_JOBS = ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle", "ports", "args")
"""What a container of a Deployment may have, and one that is there for a command has not."""
NOT_IN_PODS = ("initContainers", "nodeSelector", "subdomain")


_LONGEST = 63 - len("-run-00000-00000")
"""A Job's pods have its name and five more characters."""


def run_name(name: str) -> str:
    """What the Jobs of commands that are run for an app or a Deployment are called, before a hyphen and five
    characters."""
    return f"{name[:_LONGEST].rstrip('-.')}-run"


def one_off(
    template: Mapping[str, Any],
    command: Sequence[str],
    *,
    name: str,
    namespace: str | None = None,
    container: str | None = None,
    labels: Mapping[str, str],
    grace: int,
    **spec: int,
) -> dict[str, Any]:
    """The manifest, from a Deployment's ``spec.template``; `container` None is its first one. `labels` replace those of
    the pods: a Service of theirs must not lead to it. It runs once. Raises UsageError (`no-such-container`)."""
    made = copy.deepcopy(dict(template))
    pod = made["spec"]
    chosen = _chosen(pod["containers"], container, name)
    for field in NOT_IN_JOBS:
        chosen.pop(field, None)
    chosen["command"] = [literal(word) for word in command]
    for field in NOT_IN_PODS:
        pod.pop(field, None)
    pod.update(containers=[chosen], restartPolicy="Never", terminationGracePeriodSeconds=grace)
    made["metadata"] = {**(made.get("metadata") or {}), "labels": dict(labels)}
    metadata: dict[str, Any] = {"name": name, "labels": dict(labels)}
    if namespace:
        metadata["namespace"] = namespace
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"backoffLimit": 0, **spec, "template": made},
    }


def left_out(template: Mapping[str, Any], container: str | None) -> tuple[str, ...]:
    """What of a Deployment's pods is not beside the command: the names of its other containers."""
    pod = template["spec"]
    first = container or pod["containers"][0]["name"]
    others = [*(pod.get("initContainers") or ()), *pod["containers"]]
    return tuple(item["name"] for item in others if item["name"] != first)


def _chosen(containers: Sequence[dict[str, Any]], name: str | None, subject: str) -> dict[str, Any]:
    if name is None:
        return containers[0]
    for container in containers:
        if container["name"] == name:
            return container
    raise UsageError(
        "no-such-container",
        subject,
        f'no container is named "{name}"',
        hint=f"it has {', '.join(item['name'] for item in containers)}",
    )

"""What keeps a Deployment's replicas from being ready, in a few words; pure."""

from __future__ import annotations

from runtime import DeploymentStatus


def trouble(status: DeploymentStatus) -> str:
    """What keeps a replica from being ready, where it says so."""
    found = (item for item in status.replica_list if item.message and not item.ready and item.phase != "Terminating")
    return next((f"; {item.phase}: {item.message}" for item in found), "")

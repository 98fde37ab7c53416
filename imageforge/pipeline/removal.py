"""Taking from the runtime what an app no longer has there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.domains import NAMESPACE
from imageforge.pipeline.manifests import processes
from imageforge.pipeline.one_off import run_name
from imageforge.store import Release
from runtime import ControllerClient, NotFound


def delete_all(app: str, controller: ControllerClient) -> None:
    """Delete all that runs of an app; does not wait for it to be gone."""
    with contextlib.suppress(NotFound):
        controller.delete(NAMESPACE, "Service", app)
    for status in controller.deployments(NAMESPACE):
        if status.app == app:
            with contextlib.suppress(NotFound):
                controller.delete(NAMESPACE, "Deployment", status.name)


def delete_runs(app: str, controller: ControllerClient) -> None:
    """Delete the Jobs of commands that were run for an app."""
    for job in controller.jobs(NAMESPACE):
        if job.app == app and job.name.startswith(f"{run_name(app)}-"):
            with contextlib.suppress(NotFound):
                controller.delete(NAMESPACE, "Job", job.name)


def delete_secrets(app: str, controller: ControllerClient, *, keep: Collection[str] = ()) -> None:
    """Take an app's Secrets from the runtime, but for those named."""
    mine = {"app.kubernetes.io/name": app, "app.kubernetes.io/managed-by": "imageforge"}
    for secret in controller.secrets(NAMESPACE):
        if mine.items() <= secret.labels.items() and secret.name not in keep:
            with contextlib.suppress(NotFound):
                controller.delete(NAMESPACE, "Secret", secret.name)


def remove_others(release: Release, deployer: Deployer) -> None:
    """Delete the Deployments of an app that are not in this release: of processes that its file no longer has, or that
    only a release which failed had."""
    wanted = set(processes(release.manifests).values())
    for status in deployer.controller.deployments(NAMESPACE):
        if status.app == release.app and status.name not in wanted:
            with contextlib.suppress(NotFound):
                deployer.controller.delete(NAMESPACE, "Deployment", status.name)

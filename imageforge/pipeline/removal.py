"""Taking from the runtime what an app no longer has there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable

import yaml

from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.domains import NAMESPACE
from imageforge.pipeline.manifests import PART_OF, processes
from imageforge.pipeline.one_off import run_name
from imageforge.pipeline.ownership import owner
from imageforge.store import Release
from runtime import ControllerClient, NotFound

SWEPT = ("HorizontalPodAutoscaler", "CronJob", "Ingress", "Service", "ConfigMap")
"""Kinds of what a repository brings beside Deployments, in the order in which they are taken away. A claim is left: its
data are not the app's release's to remove."""


def delete_all(app: str, controller: ControllerClient) -> None:
    """Delete all that runs of an app; does not wait for it to be gone. Its claims stay."""
    _delete_objects(app, controller, SWEPT[:-1], keep=())
    for status in controller.deployments(NAMESPACE):
        if status.app == app:
            with contextlib.suppress(NotFound):
                controller.delete(NAMESPACE, "Deployment", status.name)
    _delete_objects(app, controller, SWEPT[-1:], keep=())


def _delete_objects(
    app: str, controller: ControllerClient, kinds: Iterable[str], *, keep: Collection[tuple[str, str]]
) -> None:
    for kind in kinds:
        for view in controller.views(kind, NAMESPACE):
            if (kind, view.name) not in keep and owner(yaml.safe_load(view.manifest)) == app:
                with contextlib.suppress(NotFound):
                    controller.delete(NAMESPACE, kind, view.name)


def claims_of(app: str, controller: ControllerClient) -> tuple[str, ...]:
    """The claims that an app's repository brought, by name."""
    views = controller.views("PersistentVolumeClaim", NAMESPACE)
    parts = ((view.name, yaml.safe_load(view.manifest)["metadata"].get("labels") or {}) for view in views)
    return tuple(sorted(name for name, labels in parts if labels.get(PART_OF) == app))


def delete_claims(app: str, controller: ControllerClient) -> None:
    """Delete them and all that they hold."""
    for name in claims_of(app, controller):
        with contextlib.suppress(NotFound):
            controller.delete(NAMESPACE, "PersistentVolumeClaim", name, volumes=True)


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
    """Delete what an app has and this release has not: Deployments of processes that its file no longer has, or that
    only a release which failed had, and other objects that its repository brought."""
    wanted = set(processes(release.manifests).values())
    for status in deployer.controller.deployments(NAMESPACE):
        if status.app == release.app and status.name not in wanted:
            with contextlib.suppress(NotFound):
                deployer.controller.delete(NAMESPACE, "Deployment", status.name)
    kept = {(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(release.manifests)}
    _delete_objects(release.app, deployer.controller, SWEPT, keep=kept)

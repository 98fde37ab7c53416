"""Taking from the runtime what an app no longer has there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable

import yaml

from imageforge.pipeline.deployer import Deployer
from imageforge.pipeline.domains import NAMESPACE
from imageforge.pipeline.manifests import CLAIM
from imageforge.pipeline.one_off import run_name
from imageforge.pipeline.ownership import bringer, owner
from imageforge.store import Release
from runtime import ControllerClient, NotFound, ObjectView

SWEPT = ("HorizontalPodAutoscaler", "CronJob", "Ingress", "Service", "Deployment", "ConfigMap")
"""Kinds of what a release brings, in the order in which they are taken away. A claim is left: its data are not a
release's to remove."""


def delete_all(app: str, controller: ControllerClient) -> None:
    """Delete all that runs of an app; does not wait for it to be gone. Its claims stay."""
    _delete(owned(controller.views(namespace=NAMESPACE), app), controller)


def owned(
    views: Iterable[ObjectView], app: str, *, keep: Collection[tuple[str, str]] = ()
) -> tuple[tuple[str, str], ...]:
    """What of these an app's releases brought, but for what is to be kept: (kind, name), in the order in which it is
    taken away. What only says by a label that it is a part of the app is not among it."""
    found = {
        (view.kind, view.name)
        for view in views
        if view.kind in SWEPT and owner(yaml.safe_load(view.manifest)) == app and (view.kind, view.name) not in keep
    }
    return tuple(sorted(found, key=lambda key: (SWEPT.index(key[0]), key[1])))


def _delete(found: Iterable[tuple[str, str]], controller: ControllerClient) -> None:
    for kind, name in found:
        with contextlib.suppress(NotFound):
            controller.delete(NAMESPACE, kind, name)


def claims_of(app: str, controller: ControllerClient) -> tuple[str, ...]:
    """The claims that an app's repository brought, by name."""
    return claims_among(controller.views(CLAIM, NAMESPACE), app)


def claims_among(views: Iterable[ObjectView], app: str) -> tuple[str, ...]:
    """Those of these. What others made has data of theirs, whatever its labels say."""
    claims = (view for view in views if view.kind == CLAIM)
    return tuple(sorted(view.name for view in claims if bringer(yaml.safe_load(view.manifest)) == app))


def delete_claims(app: str, controller: ControllerClient) -> None:
    """Delete them and all that they hold."""
    for name in claims_of(app, controller):
        with contextlib.suppress(NotFound):
            controller.delete(NAMESPACE, CLAIM, name, volumes=True)


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
    kept = {(item["kind"], item["metadata"]["name"]) for item in yaml.safe_load_all(release.manifests)}
    _delete(owned(deployer.controller.views(namespace=NAMESPACE), release.app, keep=kept), deployer.controller)

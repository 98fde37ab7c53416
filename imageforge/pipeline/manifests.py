"""The manifests of an app whose repository brings none: a Deployment and a Service, as any cluster would take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

RELEASE = "imageforge.io/release"
HOST = "imageforge.io/host"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """What is to run. `reference` names the image by digest; `numeric_user` tells that the image's user is a number
    other than 0, which is what Kubernetes can check with runAsNonRoot."""

    app: str
    release: int
    reference: str
    port: int
    replicas: int
    host: str
    deadline: int
    health: str | None
    environment: Mapping[str, str]
    numeric_user: bool


def generate(workload: Workload) -> str:
    """The two documents as YAML.

    The probe's period of one second replaces Kubernetes' ten: a rollout waits for it once a replica. The Service's port
    is named http, which is how the balancer knows to balance requests rather than connections.
    """
    selector = {"app.kubernetes.io/name": workload.app}
    labels = {**selector, "app.kubernetes.io/managed-by": "imageforge"}
    check: dict[str, Any] = (
        {"httpGet": {"path": workload.health, "port": "http"}} if workload.health else {"tcpSocket": {"port": "http"}}
    )
    security: dict[str, Any] = {"allowPrivilegeEscalation": False}
    if workload.numeric_user:
        security["runAsNonRoot"] = True
    container = {
        "name": workload.app,
        "image": workload.reference,
        "ports": [{"name": "http", "containerPort": workload.port}],
        "env": [
            {"name": name, "value": value}
            for name, value in {"PORT": str(workload.port), **workload.environment}.items()
        ],
        "readinessProbe": {**check, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3},
        "securityContext": security,
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": workload.app, "labels": labels},
        "spec": {
            "replicas": workload.replicas,
            "progressDeadlineSeconds": workload.deadline,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": dict(labels), "annotations": {RELEASE: str(workload.release)}},
                "spec": {"terminationGracePeriodSeconds": 30, "containers": [container]},
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": workload.app, "labels": dict(labels), "annotations": {HOST: workload.host}},
        "spec": {"selector": dict(selector), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    return yaml.safe_dump_all([deployment, service], sort_keys=False)


def renumber(manifests: str, release: int) -> str:
    """The same manifests for another release: a rollback is a release of its own, and its replicas say so."""

    def change(deployment: dict[str, Any]) -> None:
        metadata = deployment["spec"]["template"].setdefault("metadata", {})
        metadata.setdefault("annotations", {})[RELEASE] = str(release)

    return _changed(manifests, change)


def rescale(manifests: str, replicas: int) -> str:
    """The same manifests for another number of replicas: what `scale` asked for outlives the release."""

    def change(deployment: dict[str, Any]) -> None:
        deployment["spec"]["replicas"] = replicas

    return _changed(manifests, change)


def with_environment(manifests: str, environment: Mapping[str, str]) -> str:
    """The same manifests with another environment."""

    def change(deployment: dict[str, Any]) -> None:
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            container["env"] = [{"name": name, "value": value} for name, value in environment.items()]

    return _changed(manifests, change)


def with_hosts(manifests: str, app: str, hosts: Sequence[str]) -> str:
    """The same manifests with these names leading to the app's Service."""
    documents = list(yaml.safe_load_all(manifests))
    for document in documents:
        if document["kind"] == "Service" and document["metadata"]["name"] == app:
            document["metadata"].setdefault("annotations", {})[HOST] = ", ".join(hosts)
    return yaml.safe_dump_all(documents, sort_keys=False)


def _changed(manifests: str, change: Callable[[dict[str, Any]], None]) -> str:
    documents = list(yaml.safe_load_all(manifests))
    for document in documents:
        if document["kind"] == "Deployment":
            change(document)
    return yaml.safe_dump_all(documents, sort_keys=False)

"""The manifests of an app whose repository brings none: a Deployment and a Service, as any cluster would take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

RELEASE = "imageforge.io/release"
MASKED = "imageforge.io/masked"
SECRETS_FOLDER = "/run/secrets"
VOLUME = "secrets"
HOST = "imageforge.io/host"


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretUse:
    """What a Deployment takes of the Secret `name`: keys as variables of the same names, and keys as files by their
    paths below /run/secrets."""

    name: str
    variables: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


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
    secret: SecretUse | None = None


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
        "env": _variables({"PORT": str(workload.port), **workload.environment}, workload.secret),
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
                "spec": _with_files({"terminationGracePeriodSeconds": 30, "containers": [container]}, workload.secret),
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


def with_environment(manifests: str, environment: Mapping[str, str], secret: SecretUse | None) -> str:
    """The same manifests with another environment and other secrets."""

    def change(deployment: dict[str, Any]) -> None:
        pod = deployment["spec"]["template"]["spec"]
        for container in pod["containers"]:
            container["env"] = _variables(environment, secret)
        _with_files(pod, secret)

    return _changed(manifests, change)


def with_hosts(manifests: str, app: str, hosts: Sequence[str]) -> str:
    """The same manifests with these names leading to the app's Service."""
    documents = list(yaml.safe_load_all(manifests))
    for document in documents:
        if document["kind"] == "Service" and document["metadata"]["name"] == app:
            document["metadata"].setdefault("annotations", {})[HOST] = ", ".join(hosts)
    return yaml.safe_dump_all(documents, sort_keys=False)


def secret_manifest(app: str, name: str, values: Mapping[str, str], *, masked: bool = False) -> str:
    """The Secret as YAML; `masked` for eyes, with the sizes of the values, and a note that keeps it from being
    applied."""
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {"app.kubernetes.io/name": app, "app.kubernetes.io/managed-by": "imageforge"},
    }
    shown = values
    if masked:
        metadata["annotations"] = {MASKED: "true"}
        shown = {key: f"*** {len(value.encode())} bytes" for key, value in values.items()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "immutable": True,
        "stringData": dict(sorted(shown.items())),
    }
    return yaml.safe_dump(secret, sort_keys=False, allow_unicode=False, width=120)


def secrets_in(manifests: str) -> frozenset[str]:
    """The names of the Secrets that Deployments take something of."""
    found: set[str] = set()
    for document in yaml.safe_load_all(manifests):
        if document["kind"] == "Deployment":
            pod = document["spec"]["template"]["spec"]
            found.update(volume["secret"]["secretName"] for volume in pod.get("volumes", ()) if "secret" in volume)
            for container in pod["containers"]:
                keys = (variable.get("valueFrom", {}).get("secretKeyRef") for variable in container.get("env", ()))
                found.update(key["name"] for key in keys if key)
    return frozenset(found)


def _variables(environment: Mapping[str, str], secret: SecretUse | None) -> list[dict[str, Any]]:
    """Secrets first, so that a variable may name one: ``db://app:$(PASSWORD)@db``. Of two with one name it wins."""
    names = secret.variables if secret else ()
    source = secret.name if secret else ""
    hidden = [{"name": name, "valueFrom": {"secretKeyRef": {"name": source, "key": name}}} for name in sorted(names)]
    plain = [{"name": name, "value": value} for name, value in environment.items() if name not in names]
    return [*hidden, *plain]


def _with_files(pod: dict[str, Any], secret: SecretUse | None) -> dict[str, Any]:
    """Changes a pod so that its containers have the secret's files, and no others."""
    pod.pop("volumes", None)
    for container in pod["containers"]:
        container.pop("volumeMounts", None)
    if secret and secret.files:
        items = [{"key": key, "path": path} for key, path in sorted(secret.files.items())]
        pod["volumes"] = [{"name": VOLUME, "secret": {"secretName": secret.name, "items": items}}]
        for container in pod["containers"]:
            container["volumeMounts"] = [{"name": VOLUME, "mountPath": SECRETS_FOLDER, "readOnly": True}]
    return pod


def _changed(manifests: str, change: Callable[[dict[str, Any]], None]) -> str:
    documents = list(yaml.safe_load_all(manifests))
    for document in documents:
        if document["kind"] == "Deployment":
            change(document)
    return yaml.safe_dump_all(documents, sort_keys=False)

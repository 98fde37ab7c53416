"""The manifests of an app whose repository brings none, as any cluster would take them: a Deployment and a Service, a
Deployment for each process beside web, and a Job for the release command."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from imageforge.config.command import literal
from imageforge.config.names import WEB, deployment_name
from imageforge.pipeline.one_off import one_off
from runtime import dump_manifests

RELEASE = "imageforge.io/release"
MASKED = "imageforge.io/masked"
SECRETS_FOLDER = "/run/secrets"
VOLUME = "secrets"
HOST = "imageforge.io/host"
NAME = "app.kubernetes.io/name"
PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
US = "imageforge"
APP = "imageforge.io/app"
PROCESS = "imageforge.io/process"
"""Annotations of a pod template that a repository brings; the labels there are its own. A claim has the first."""
CLAIM = "PersistentVolumeClaim"
"""Whose data outlive the app: anybody may delete it by hand."""
MIN_READY_SECONDS = 3
"""How long a process without a port must run to be counted as one that does: nothing else tells one that ends at once
from one that works."""
_START = "---\n"
RELEASE_GRACE_SECONDS = 5
"""How long a release command may go on after it was told to end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A process beside web, with its command's words."""

    name: str
    command: tuple[str, ...]
    replicas: int


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
    other than 0, which is what Kubernetes can check with runAsNonRoot; `command` is web's, None the image's own."""

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
    command: tuple[str, ...] | None = None
    workers: tuple[Worker, ...] = ()
    secret: SecretUse | None = None


def generate(workload: Workload) -> str:
    """The documents as YAML.

    The probe's period of one second replaces Kubernetes' ten: a rollout waits for it once a replica. The Service's port
    is named http, which is how the balancer knows to balance requests rather than connections. A process beside web
    has a name of its own and is a part of the app, so that the Service does not lead to it.
    """
    selector = {NAME: workload.app}
    labels = {**selector, MANAGED_BY: US}
    check: dict[str, Any] = (
        {"httpGet": {"path": workload.health, "port": "http"}} if workload.health else {"tcpSocket": {"port": "http"}}
    )
    container = {
        "name": workload.app,
        "image": workload.reference,
        **_command(workload.command),
        "ports": [{"name": "http", "containerPort": workload.port}],
        "env": variables({"PORT": str(workload.port), **workload.environment}, workload.secret),
        "readinessProbe": {**check, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 3},
        "securityContext": _security(workload),
    }
    deployment = _deployment(workload, workload.app, labels, workload.replicas, container)
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": workload.app, "labels": dict(labels), "annotations": {HOST: workload.host}},
        "spec": {"selector": dict(selector), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    workers = [_worker(workload, worker) for worker in workload.workers]
    return dump_manifests([deployment, service, *workers])


def _deployment(
    workload: Workload, name: str, labels: Mapping[str, str], replicas: int, container: dict[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": workload.deadline,
            "selector": {"matchLabels": {NAME: name}},
            "template": {
                "metadata": {"labels": dict(labels), "annotations": {RELEASE: str(workload.release)}},
                "spec": _with_files({"terminationGracePeriodSeconds": 30, "containers": [container]}, workload.secret),
            },
        },
    }


def _worker(workload: Workload, worker: Worker) -> dict[str, Any]:
    name = deployment_name(workload.app, worker.name)
    labels = {
        NAME: name,
        PART_OF: workload.app,
        COMPONENT: worker.name,
        MANAGED_BY: US,
    }
    container = {
        "name": worker.name,
        "image": workload.reference,
        **_command(worker.command),
        "env": variables(workload.environment, workload.secret),
        "securityContext": _security(workload),
    }
    deployment = _deployment(workload, name, labels, worker.replicas, container)
    deployment["spec"]["minReadySeconds"] = min(MIN_READY_SECONDS, workload.deadline - 1)
    return deployment


def _command(command: tuple[str, ...] | None) -> dict[str, Any]:
    return {} if command is None else {"command": [literal(word) for word in command]}


def _security(workload: Workload) -> dict[str, Any]:
    security: dict[str, Any] = {"allowPrivilegeEscalation": False}
    if workload.numeric_user:
        security["runAsNonRoot"] = True
    return security


def release_job_name(app: str, number: int) -> str:
    """The name of the Job that runs the release command of a release: the record that it ran."""
    return f"{app}-release-{number}"


def release_job(
    manifests: str, app: str, number: int, command: tuple[str, ...], deadline: int, *, reference: str
) -> str:
    """The Job of a release, made from its web process: the container that runs `reference`, which is what was built,
    with its environment and user and another command; once, and for `deadline` seconds at most."""
    web = next(item for item in _deployments(manifests) if item["metadata"]["name"] == app)
    template = copy.deepcopy(web["spec"]["template"])
    pod = template["spec"]
    built = _built(pod, reference)
    # It may be one that runs before the others, which a Job has none of, nor one that goes on beside them.
    built.pop("restartPolicy", None)
    pod["containers"] = [built]
    # Not the labels that the Service selects by: a cluster would send it requests.
    labels = {**template["metadata"]["labels"], NAME: f"{app}-release", PART_OF: app, COMPONENT: "release"}
    job = one_off(
        template,
        command,
        name=release_job_name(app, number),
        labels=labels,
        grace=RELEASE_GRACE_SECONDS,
        activeDeadlineSeconds=deadline,
    )
    job["spec"]["template"]["spec"]["containers"][0]["name"] = "release"
    return dump_manifests([job])


def _built(pod: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """The container that runs what was built: others may be named by digest, too."""
    every: list[dict[str, Any]] = [*pod["containers"], *(pod.get("initContainers") or ())]
    return next((item for item in every if item["image"] == reference), every[0])


def processes(manifests: str) -> dict[str, str]:
    """The processes of a release and the Deployments that run them, web first."""
    found = {_process(item): str(item["metadata"]["name"]) for item in _deployments(manifests)}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != WEB, name))}


def _process(deployment: Mapping[str, Any]) -> str:
    metadata = deployment["spec"]["template"].get("metadata", {})
    said = (metadata.get("annotations") or {}).get(PROCESS)
    labels = metadata.get("labels") or {}
    return str(said or (labels.get(COMPONENT, WEB) if PART_OF in labels else WEB))


def _deployments(manifests: str) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(manifests) if item["kind"] == "Deployment"]


def renumber(manifests: str, release: int) -> str:
    """The same manifests for another release: a rollback is a release of its own, and its replicas say so. A companion,
    which runs nothing that was built, is of none."""

    def change(deployment: dict[str, Any]) -> None:
        metadata = deployment["spec"]["template"].setdefault("metadata", {})
        annotations = metadata.setdefault("annotations", {})
        if APP not in annotations or RELEASE in annotations:
            annotations[RELEASE] = str(release)

    return _changed(manifests, change)


def rescale(manifests: str, replicas: Mapping[str, int]) -> str:
    """The same manifests for other numbers of replicas of some processes: what `scale` asked for outlives the
    release."""

    def change(deployment: dict[str, Any]) -> None:
        process = _process(deployment)
        if process in replicas:
            deployment["spec"]["replicas"] = replicas[process]

    return _changed(manifests, change)


def with_environment(manifests: str, environment: Mapping[str, str], secret: SecretUse | None, *, port: int) -> str:
    """The same manifests with another environment and other secrets; `port` is told to what listens."""

    def change(deployment: dict[str, Any]) -> None:
        pod = deployment["spec"]["template"]["spec"]
        for container in pod["containers"]:
            own = {"PORT": str(port)} if container.get("ports") else {}
            container["env"] = variables({**own, **environment}, secret)
        _with_files(pod, secret)

    return _changed(manifests, change)


def changed_variables(one: str, other: str) -> tuple[str, ...]:
    """The names of the variables in which the containers of two texts differ, sorted. Those that take their value from
    elsewhere, such as a Secret, are not compared."""
    first, second = _plain_variables(one), _plain_variables(other)
    return tuple(sorted({name for *_, name in _differing(first, second)}))


def _differing(
    first: Mapping[tuple[str, str, str], str | None], second: Mapping[tuple[str, str, str], str | None]
) -> Iterable[tuple[str, str, str]]:
    for key in first.keys() | second.keys():
        values = [found[key] for found in (first, second) if key in found]
        if None not in values and (len(values) == 1 or values[0] != values[1]):
            yield key


def _plain_variables(manifests: str) -> dict[tuple[str, str, str], str | None]:
    """The variables by Deployment, container and name; None is of one that comes from elsewhere."""
    return {
        (item["metadata"]["name"], container["name"], variable["name"]): (
            None if variable.get("valueFrom") else str(variable.get("value") or "")
        )
        for item in _deployments(manifests)
        for container in item["spec"]["template"]["spec"]["containers"]
        for variable in container.get("env") or ()
    }


def with_hosts(manifests: str, app: str, hosts: Sequence[str]) -> str:
    """The same manifests with these names leading to the app's Service."""
    documents = list(yaml.safe_load_all(manifests))
    for document in documents:
        if document["kind"] == "Service" and document["metadata"]["name"] == app:
            document["metadata"].setdefault("annotations", {})[HOST] = ", ".join(hosts)
    return dump_manifests(documents)


def join(*texts: str) -> str:
    """Several texts of documents as one, in which no document is empty."""
    return "".join(text if text.startswith(_START) else f"{_START}{text}" for text in texts)


def secret_manifest(app: str, name: str, values: Mapping[str, str], *, masked: bool = False) -> str:
    """The Secret as YAML; `masked` for eyes, with the sizes of the values, and a note that keeps it from being
    applied."""
    metadata: dict[str, Any] = {
        "name": name,
        "labels": {"app.kubernetes.io/name": app, MANAGED_BY: US},
    }
    shown = values
    if masked:
        metadata["annotations"] = {MASKED: "true"}
        shown = {key: f"*** {len(value.encode())} bytes" for key, value in values.items()}
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "immutable": True,
        "stringData": dict(sorted(shown.items())),
    }
    return dump_manifests([secret])


def secrets_in(manifests: str) -> frozenset[str]:
    """The names of the Secrets that Deployments take something of."""
    found: set[str] = set()
    for document in yaml.safe_load_all(manifests):
        if document["kind"] == "Deployment":
            pod = document["spec"]["template"]["spec"]
            volumes = (volume.get("secret") or {} for volume in pod.get("volumes") or ())
            found.update(secret["secretName"] for secret in volumes if "secretName" in secret)
            for container in pod["containers"]:
                sources = (variable.get("valueFrom") or {} for variable in container.get("env") or ())
                found.update(source["secretKeyRef"]["name"] for source in sources if source.get("secretKeyRef"))
    return frozenset(found)


def variables(environment: Mapping[str, str], secret: SecretUse | None) -> list[dict[str, Any]]:
    """A container's ``env``.

    Secrets first, so that a variable may name one: ``db://app:$(PASSWORD)@db``. Of two with one name it wins.
    """
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
    mount_files(pod, pod["containers"], secret)
    return pod


def mount_files(
    pod: dict[str, Any], containers: Iterable[dict[str, Any]], secret: SecretUse | None, *, name: str = VOLUME
) -> None:
    """Add the secret's files to these containers of a pod, as a volume of that name."""
    if not secret or not secret.files:
        return
    chosen = list(containers)
    if not chosen:
        return
    items = [{"key": key, "path": path} for key, path in sorted(secret.files.items())]
    volume = {"name": name, "secret": {"secretName": secret.name, "items": items}}
    pod["volumes"] = [*(pod.get("volumes") or ()), volume]
    for container in chosen:
        mount = {"name": name, "mountPath": SECRETS_FOLDER, "readOnly": True}
        container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _changed(manifests: str, change: Callable[[dict[str, Any]], None]) -> str:
    documents = list(yaml.safe_load_all(manifests))
    for document in documents:
        if document["kind"] == "Deployment":
            change(document)
    return dump_manifests(documents)

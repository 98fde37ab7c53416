"""The manifests that an app's repository brings (`manifests = "deploy/"`): read, checked, and made a release of.

They stay the repository's: of what they say only the image, and what `scale`, `env` and `secret` were asked for, is
changed. A container whose image is the app's name runs what was built; Deployments with none are the app's companions,
which a new release leaves as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from imageforge.config.names import FILE_NAME, PROCESS_NAME, WEB, too_long
from imageforge.errors import ConfigError
from imageforge.pipeline.manifests import (
    APP,
    CLAIM,
    COMPONENT,
    MANAGED_BY,
    NAME,
    PART_OF,
    PROCESS,
    RELEASE,
    US,
    SecretUse,
    mount_files,
    variables,
)
from runtime import ManifestError, dump_manifests, load_manifests

SUFFIXES = (".yaml", ".yml", ".json")
LARGEST = 1024 * 1024
"""Bytes of all files together: a release keeps them, and a cluster takes no object that is larger."""
NAMESPACE = "default"
KINDS = (
    "ConfigMap",
    "CronJob",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "PersistentVolumeClaim",
    "Service",
)
INSTEAD = {
    "Job": 'a Job runs once and never changes: a command before each release is [app] release = "…"',
    "Pod": "a Pod never changes: make it a Deployment",
    "Secret": "a release would keep it unsealed: `imageforge secret set APP NAME` gives it to the app's containers",
    "Namespace": "an app lives in the namespace default",
}
VOLUME = "imageforge-secrets"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnManifests:
    """`text` holds the documents as YAML; `place` is how the file named them. `port` is what the web process says that
    it listens on, None where it says nothing; `path` what it is asked for to be found ready. `fixed` are the processes
    whose replicas the files set."""

    text: str
    place: str
    port: int | None
    path: str | None
    processes: tuple[str, ...]
    fixed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """What is put into them. `replicas` are those that `scale` asked for, by process; `deadline` in seconds."""

    app: str
    number: int
    reference: str
    deadline: int
    replicas: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    secret: SecretUse | None = None


def read(folder: Path, named: str, app: str) -> OwnManifests:
    """The files that `named`, a file or a folder below `folder`, is or holds, in the order of their names.

    Raises ConfigError, with the manifest's own code where one is refused, else `manifests-missing`,
    `manifests-too-large`, `manifests-outside`, `manifests-not-an-apps`.
    """
    documents: dict[tuple[str, str], dict[str, Any]] = {}
    wheres: dict[tuple[str, str], str] = {}
    for place, text in _files(folder, named):
        try:
            found = load_manifests(text, place, NAMESPACE)
        except ManifestError as error:
            raise ConfigError(
                error.code, error.subject, error.message, hint=error.hint, kept="nothing was built"
            ) from error
        for document in found:
            key = (document.kind, document.name)
            if document.kind not in KINDS:
                raise _refused(
                    document.where,
                    f"kind {document.kind}: an app's repository brings {', '.join(KINDS)}",
                    INSTEAD.get(document.kind, f"imageforge apply -f {place} takes it, beside the app"),
                )
            if key in documents:
                raise _refused(
                    document.where, f"{document.kind} {document.name} is in {wheres[key]} too", "remove one of them"
                )
            documents[key], wheres[key] = dict(document.data), document.where
    _check(documents, wheres, app, named)
    web = documents["Deployment", app]
    return OwnManifests(
        text=dump_manifests(documents.values()),
        place=named,
        port=_port(web, app),
        path=_path(web, app),
        processes=tuple(sorted(_process(name, app) for kind, name in documents if kind == "Deployment")),
        fixed=tuple(
            sorted(
                _process(name, app)
                for (kind, name), item in documents.items()
                if kind == "Deployment" and item["spec"].get("replicas") is not None
            )
        ),
    )


def compose(text: str, release: Release) -> str:
    """The manifests of a release, as YAML. The same text and release give the same bytes."""
    made = []
    for document in yaml.safe_load_all(text):
        made.append(item := copy.deepcopy(document))
        _owned(item, release.app)
        template = _template(item)
        if template is None:
            continue
        builds = _fill(template["spec"], release)
        if item["kind"] != "Deployment":
            continue
        process = _process(item["metadata"]["name"], release.app)
        annotations = template.setdefault("metadata", {}).setdefault("annotations", {}) or {}
        annotations.update({APP: release.app, PROCESS: process})
        annotations.pop(RELEASE, None)
        if builds:
            annotations[RELEASE] = str(release.number)
        template["metadata"]["annotations"] = annotations
        spec = item["spec"]
        if spec.get("replicas") is None and process in release.replicas:
            spec["replicas"] = release.replicas[process]
        if spec.get("progressDeadlineSeconds") is None:
            # Kubernetes counts from there: a pod is ready for minReadySeconds within it.
            spec["progressDeadlineSeconds"] = max(release.deadline, (spec.get("minReadySeconds") or 0) + 1)
    return dump_manifests(made)


def names(folder: Path, named: str) -> tuple[str, ...]:
    """The files that `named` is or holds, as the repository calls them: an image need not have them, and a release
    must."""
    return tuple(file.relative_to(folder).as_posix() for file in _found(folder / named))


def _found(start: Path) -> list[Path]:
    return sorted(item for item in start.iterdir() if item.suffix in SUFFIXES) if start.is_dir() else [start]


def _files(folder: Path, named: str) -> Iterator[tuple[str, str]]:
    """The files, as the repository calls them, and their texts."""
    start, inside = folder / named, folder.resolve()
    found = _found(start)
    if not start.exists() or not found:
        raise ConfigError(
            "manifests-missing",
            f"{FILE_NAME}: manifests",
            f'"{named}" ' + ("holds no file of manifests" if start.exists() else "is not there"),
            hint=f"expected a file, or a folder with files that end in {', '.join(SUFFIXES)}",
            kept="nothing was built",
        )
    size = 0
    for file in found:
        place = file.relative_to(folder).as_posix()
        if not _leads_to(file, place).is_relative_to(inside):
            raise ConfigError(
                "manifests-outside",
                place,
                "it is not in the repository",
                hint="a link may lead to what lies in the repository",
                kept="nothing was read of it, and nothing was built",
            )
        try:
            size += file.stat().st_size
            if size > LARGEST:
                raise ConfigError(
                    "manifests-too-large",
                    place,
                    f"the manifests have more than {LARGEST} bytes",
                    hint="large files are better part of the image",
                    kept="nothing was built",
                )
            yield place, file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                "manifests-missing",
                place,
                str(error),
                hint="expected a readable UTF-8 file",
                kept="nothing was built",
            ) from error


def _leads_to(file: Path, place: str) -> Path:
    """Where a file is, links followed. Raises ConfigError where they lead round."""
    try:
        return file.resolve()
    except (OSError, RuntimeError) as error:
        # Python before 3.13 has an error of its own for it.
        raise ConfigError(
            "manifests-missing",
            place,
            "it is a link that leads to itself",
            hint="expected a readable UTF-8 file",
            kept="nothing was built",
        ) from error


def _check(
    documents: Mapping[tuple[str, str], dict[str, Any]], wheres: Mapping[tuple[str, str], str], app: str, named: str
) -> None:
    web, service = documents.get(("Deployment", app)), documents.get(("Service", app))
    for kind, there in (("Deployment", web), ("Service", service)):
        if there is None:
            what = "it is the app's web process" if kind == "Deployment" else "the app's hosts lead to it"
            raise _refused(named, f"no {kind} in it is called {app}, expected one: {what}", f"metadata.name: {app}")
    assert web is not None
    assert service is not None
    if not any(_is_built(container, app) for container in _containers(web["spec"]["template"]["spec"])):
        raise _refused(
            wheres["Deployment", app],
            f"no container of it has the image {app}, expected one: it runs what is built",
            f"image: {app}",
        )
    labels = web["spec"]["template"]["metadata"]["labels"]
    if not (service["spec"].get("selector") or {}).items() <= labels.items():
        raise _refused(
            wheres["Service", app],
            f"its selector does not lead to the pods of the Deployment {app}",
            f"their labels are {', '.join(f'{key}={value}' for key, value in labels.items())}",
        )
    for kind, name in documents:
        if kind != "Deployment" or name == app:
            continue
        process = _process(name, app)
        if not name.startswith(f"{app}-") or not PROCESS_NAME.fullmatch(process) or process in (WEB, "release"):
            raise _refused(
                wheres[kind, name],
                f"the Deployment {name} would stand among those of other apps",
                f"call it {app}-NAME, where NAME is the process; `{WEB}` and `release` are none",
            )
        if problem := too_long(app, process):
            raise _refused(wheres[kind, name], problem, "give it a shorter name")


def _refused(where: str, message: str, hint: str) -> ConfigError:
    return ConfigError("manifests-not-an-apps", where, message, hint=hint, kept="nothing was built")


def _process(name: str, app: str) -> str:
    return WEB if name == app else name.removeprefix(f"{app}-")


def _template(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """A document's pod template."""
    if document["kind"] == "CronJob":
        template: dict[str, Any] = document["spec"]["jobTemplate"]["spec"]["template"]
        return template
    return document["spec"]["template"] if document["kind"] == "Deployment" else None


def _containers(pod: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    return (*pod["containers"], *(pod.get("initContainers") or ()))


def _is_built(container: Mapping[str, Any], app: str) -> bool:
    image = str(container.get("image", ""))
    return image == app or (image.startswith(f"{app}:") and "/" not in image and "@" not in image)


def _fill(pod: dict[str, Any], release: Release) -> bool:
    """Give a pod's containers what was built, and what the app's have; whether there was any."""
    built = [container for container in _containers(pod) if _is_built(container, release.app)]
    for container in built:
        container["image"] = release.reference
        given = variables(release.environment, release.secret)
        names = {item["name"] for item in given}
        # Secrets come first, so that what the file says may name one; what is set for the app wins over the file.
        hidden = [item for item in given if "valueFrom" in item]
        plain = [item for item in given if "valueFrom" not in item]
        kept = [item for item in container.get("env") or () if item["name"] not in names]
        if hidden or kept or plain:
            container["env"] = [*hidden, *kept, *plain]
    mount_files(pod, built, release.secret, name=VOLUME)
    return bool(built)


def as_root(text: str, app: str) -> tuple[str, ...]:
    """The containers that would run what is built as root, whoever the image's own user is: where they stand."""
    found = []
    for document in yaml.safe_load_all(text):
        template = _template(document)
        pod = template["spec"] if template else {"containers": ()}
        usual = (pod.get("securityContext") or {}).get("runAsUser")
        for container in _containers(pod):
            own = (container.get("securityContext") or {}).get("runAsUser")
            if _is_built(container, app) and (usual if own is None else own) == 0:
                found.append(f"{document['kind']} {document['metadata']['name']}, container {container['name']}")
    return tuple(found)


def _owned(document: dict[str, Any], app: str) -> None:
    """Nobody but the app's releases changes it. These are labels of the object, by which nothing selects pods."""
    labels = document["metadata"].setdefault("labels", {}) or {}
    labels[PART_OF] = app
    if document["kind"] == CLAIM:
        # Not by a label: others may say of theirs, too, that it is a part of the app.
        document["metadata"]["annotations"] = {**(document["metadata"].get("annotations") or {}), APP: app}
    else:
        labels[MANAGED_BY] = US
    if document["kind"] == "Deployment":
        labels[COMPONENT] = _process(document["metadata"]["name"], app)
        labels.pop(NAME, None)
    document["metadata"]["labels"] = labels


def _main(deployment: Mapping[str, Any], app: str) -> Mapping[str, Any]:
    containers: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"]
    return next((item for item in containers if _is_built(item, app)), containers[0])


def _port(deployment: Mapping[str, Any], app: str) -> int | None:
    ports = _main(deployment, app).get("ports") or ()
    return next((int(port["containerPort"]) for port in ports), None)


def _path(deployment: Mapping[str, Any], app: str) -> str | None:
    probe = (_main(deployment, app).get("readinessProbe") or {}).get("httpGet") or {}
    path = probe.get("path")
    return f"/{str(path).removeprefix('/')}" if path else None

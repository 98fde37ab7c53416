"""What a pod of a manifest, or the template of one, has to do with this machine; pure, on the manifest as it is
written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any

from imageforge.handoff.finding import Level
from registry import ImageRef, RegistryError

PATHS = {
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "Pod": ("spec",),
}
"""Where each kind has the pod."""
EVERYWHERE = frozenset({"kubernetes.io/os", "kubernetes.io/arch"})
"""Labels that every node has, with values that do not name it."""
OURS = "imageforge"
"""The first part of the names of images that are made on this machine."""
_CLASSES = {
    "priorityClassName": "PriorityClass",
    "runtimeClassName": "RuntimeClass",
    "schedulerName": "scheduler",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """A finding without its object."""

    level: Level
    field: str
    what: str
    do: str = ""


def pod_of(kind: str, data: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The way to the pod, and its ``spec``; None of a kind that has none."""
    path = PATHS.get(kind)
    if path is None:
        return None
    found: Any = data
    for name in path:
        found = found.get(name) or {}
    return ".".join(path), found


def remarks(pod: Mapping[str, Any], local: frozenset[str]) -> Iterator[Remark]:
    """What there is to say of a pod; `local` are the registries of this machine, as images name them."""
    for group in ("initContainers", "containers"):
        for at, container in enumerate(pod.get(group) or ()):
            for remark in _of_container(container, local):
                yield replace(remark, field=f"{group}[{at}].{remark.field}")
    for at, volume in enumerate(pod.get("volumes") or ()):
        yield from _of_volume(volume, f"volumes[{at}]", local)
    yield from _of_profile(pod.get("securityContext") or {})
    yield from _of_nodes(pod)


def _of_container(container: Mapping[str, Any], local: frozenset[str]) -> Iterator[Remark]:
    yield from _of_image(str(container["image"]), container.get("imagePullPolicy"), "image", "imagePullPolicy", local)
    for at, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            yield Remark(
                level=Level.CHANGE,
                field=f"ports[{at}].hostPort",
                what="a port of whichever node it is on, for all who reach that; here it is on loopback",
                do="a Service, or an Ingress",
            )
    security = container.get("securityContext") or {}
    yield from _of_profile(security)
    if security.get("privileged") or (security.get("capabilities") or {}).get("add"):
        yield Remark(
            level=Level.NEED,
            field="securityContext",
            what="it asks for more than the default set of capabilities",
            do="a namespace whose Pod Security Standard allows it",
        )


def _of_image(image: str, policy: object, field: str, policy_field: str, local: frozenset[str]) -> Iterator[Remark]:
    why = _only_here(image, local)
    if why:
        yield Remark(
            level=Level.CHANGE,
            field=field,
            what=f"{image} {why}",
            do="push it to a registry that the cluster reaches",
        )
    elif _floats(image):
        yield Remark(
            level=Level.NOTE,
            field=field,
            what=f"{image} is looked for again at each start there, and here only while it is missing",
            do="name a version, or a digest",
        )
    if policy == "Never":
        yield Remark(
            level=Level.CHANGE,
            field=policy_field,
            what="Never: a node of a cluster has not got the image, and may not fetch it",
            do="take it out",
        )


def _only_here(image: str, local: frozenset[str]) -> str:
    """Why no other machine has the image; empty where one may."""
    if image.startswith("sha256:"):
        return "is the id of an image of this machine's engine"
    try:
        found = ImageRef.parse(image)
    except RegistryError:
        return ""
    if found.registry in local or _is_loopback(found.registry):
        return "is in this machine's registry"
    if found.registry == "docker.io" and found.repository.partition("/")[0] == OURS:
        return "has the name of images that are made on this machine"
    return ""


def _floats(image: str) -> bool:
    try:
        found = ImageRef.parse(image)
    except RegistryError:
        return False
    return found.digest is None and found.tag in (None, "latest")


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _of_volume(volume: Mapping[str, Any], field: str, local: frozenset[str]) -> Iterator[Remark]:
    image = volume.get("image")
    if image:
        name = f"{field}.image"
        yield from _of_image(
            str(image["reference"]), image.get("pullPolicy"), f"{name}.reference", f"{name}.pullPolicy", local
        )
    place = volume.get("hostPath")
    if place:
        yield Remark(
            level=Level.CHANGE,
            field=f"{field}.hostPath",
            what=f"{place['path']} is of this machine; on a cluster it is of whichever node the pod is on",
            do="a PersistentVolumeClaim, or a ConfigMap",
        )


def _of_profile(security: Mapping[str, Any]) -> Iterator[Remark]:
    profile = (security.get("seccompProfile") or {}).get("localhostProfile")
    if profile:
        yield Remark(
            level=Level.NEED,
            field="securityContext.seccompProfile",
            what=f"{profile} is of this machine, and each node must have it",
            do="put it below the kubelet's folder of profiles, /var/lib/kubelet/seccomp, on every node",
        )
    loaded = (security.get("appArmorProfile") or {}).get("localhostProfile")
    if loaded:
        yield Remark(
            level=Level.NEED,
            field="securityContext.appArmorProfile",
            what=f"{loaded} is a profile that this machine has loaded, and each node must",
            do="load it on every node, and let a nodeSelector choose those that have AppArmor",
        )


def _of_nodes(pod: Mapping[str, Any]) -> Iterator[Remark]:
    if pod.get("nodeName"):
        yield Remark(
            level=Level.CHANGE, field="nodeName", what="the name of this machine", do="a nodeSelector, or take it out"
        )
    labels = sorted(set(pod.get("nodeSelector") or {}) - EVERYWHERE)
    if labels:
        yield Remark(
            level=Level.NEED,
            field="nodeSelector",
            what=f"it asks for nodes with {', '.join(labels)}",
            do="label them: kubectl label node NAME KEY=VALUE",
        )
    for name in ("affinity", "topologySpreadConstraints", "tolerations"):
        if pod.get(name):
            yield Remark(level=Level.NOTE, field=name, what="without a meaning on one machine; a cluster acts on it")
    for name, kind in _CLASSES.items():
        if pod.get(name) and pod[name] != "default-scheduler":
            yield Remark(
                level=Level.NEED,
                field=name,
                what=f"without a meaning on one machine; a cluster must have the {kind} {pod[name]}",
                do=f"make the {kind}, or take the field out",
            )

"""What there is to say of the documents of files that are to go to a cluster; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from imageforge.handoff.finding import Finding, Level
from imageforge.handoff.pods import Remark, pod_of, remarks
from runtime import Document

NOTHING = "means nothing on a cluster"
_ANNOTATIONS = {
    "imageforge.io/host": (Level.CHANGE, f"{NOTHING}: the host leads to it here", "an Ingress for it"),
    "imageforge.io/protocol": (Level.NOTE, f"{NOTHING}: there all is balanced by the connection", ""),
    "imageforge.io/balance": (Level.NOTE, f"{NOTHING}: how it balances is the cluster's to say", ""),
    "imageforge.io/reclaim": (Level.CHANGE, NOTHING, "a StorageClass with the reclaimPolicy that is meant"),
}
_ALWAYS_THERE = frozenset({"", "default", "kube-system", "kube-public", "kube-node-lease"})
_USED = (("Secret", "secrets"), ("ConfigMap", "config_maps"), ("PersistentVolumeClaim", "claims"))


def check(documents: Sequence[Document], local: frozenset[str]) -> tuple[Finding, ...]:
    """All findings, in the order of the documents; `local` are the registries of this machine, as images name them."""
    there = {(document.kind, document.namespace, document.name) for document in documents}
    namespaces = {document.name for document in documents if document.kind == "Namespace"} | _ALWAYS_THERE
    found: list[Finding] = []
    for document in documents:
        said = [*_annotations(document.data), *_of_kind(document), *_of_pod(document, there, local)]
        if document.namespace not in namespaces:
            namespaces.add(document.namespace)
            said.append(
                Remark(
                    level=Level.NEED,
                    field="metadata.namespace",
                    what=f"namespace {document.namespace} is in no file, and is not made by naming it there",
                    do=f"kubectl create namespace {document.namespace}",
                )
            )
        found += (_finding(document, remark) for remark in said)
    return tuple(found)


def _finding(document: Document, remark: Remark) -> Finding:
    return Finding(
        level=remark.level,
        where=document.where,
        object=f"{document.kind.lower()}/{document.name}",
        field=remark.field,
        what=remark.what,
        do=remark.do,
    )


def _annotations(data: Mapping[str, Any]) -> Iterator[Remark]:
    said = data["metadata"].get("annotations") or {}
    for name, (level, what, do) in _ANNOTATIONS.items():
        if name in said:
            yield Remark(level=level, field=f"metadata.annotations.{name}", what=what, do=do)


def _of_pod(document: Document, there: set[tuple[str, str, str]], local: frozenset[str]) -> Iterator[Remark]:
    found = pod_of(document.kind, document.data)
    if found is None:
        return
    path, pod = found
    for remark in remarks(pod, local):
        yield Remark(level=remark.level, field=f"{path}.{remark.field}", what=remark.what, do=remark.do)
    template = getattr(getattr(document.object, "job", document.object), "template", None)
    for kind, names in _USED:
        for name in sorted(getattr(template, names)):
            if (kind, document.namespace, name) not in there:
                yield Remark(
                    level=Level.NEED,
                    field=path,
                    what=f"it uses {kind} {name}, which is in no file",
                    do=f"make the {kind}",
                )


def _of_kind(document: Document) -> Iterable[Remark]:
    rule = _RULES.get(document.kind)
    return () if rule is None else rule(document.data)


def _secret(data: Mapping[str, Any]) -> Iterator[Remark]:
    for field in ("stringData", "data"):
        if data.get(field):
            yield Remark(
                level=Level.CHANGE,
                field=field,
                what="values in the clear, and base64 hides nothing; here they are sealed when they are stored",
                do="leave it out of what is committed: kubectl create secret, or sealed or external secrets",
            )


def _service(data: Mapping[str, Any]) -> Iterator[Remark]:
    if data["spec"].get("type") == "NodePort":
        yield Remark(
            level=Level.NEED,
            field="spec.type",
            what="a port of every node and for all who reach one; here it is on loopback",
            do="the port free on the nodes, and a way to them; or an Ingress",
        )
    if data["spec"].get("type") == "LoadBalancer":
        yield Remark(
            level=Level.NEED,
            field="spec.type",
            what="a cluster gives it a load balancer of its own; here it has ports of the machine",
            do="a provider of load balancers, such as a cloud's or MetalLB; or an Ingress for several Services",
        )


def _ingress(data: Mapping[str, Any]) -> Iterator[Remark]:
    name = data["spec"].get("ingressClassName")
    yield Remark(
        level=Level.NEED,
        field="spec.ingressClassName",
        what=f"a cluster must have the IngressClass {name}" if name else "no class: a cluster must have a default one",
        do="a controller for it" if name else "name a class, or mark one as default",
    )
    for at, rule in enumerate(data["spec"].get("rules") or ()):
        if str(rule.get("host") or "").endswith("localhost"):
            yield Remark(
                level=Level.CHANGE,
                field=f"spec.rules[{at}].host",
                what=f"{rule['host']} leads to the machine of whoever asks",
                do="a name of the cluster's",
            )


def _claim(data: Mapping[str, Any]) -> Iterator[Remark]:
    name = data["spec"].get("storageClassName")
    if name:
        what, do = f"a cluster must have the StorageClass {name}, which says nothing here", "make it, or name another"
    elif name is None:
        what, do = "no class: a cluster must have a default one", "name a class, or mark one as default"
    else:
        what, do = "no class by intention: a cluster must have a PersistentVolume that fits", "make it"
    yield Remark(level=Level.NEED, field="spec.storageClassName", what=what, do=do)
    attributes = data["spec"].get("volumeAttributesClassName")
    if attributes:
        yield Remark(
            level=Level.NEED,
            field="spec.volumeAttributesClassName",
            what=f"a cluster must have the VolumeAttributesClass {attributes}, which says nothing here",
            do="make it, or name another",
        )
    if "ReadWriteOnce" in (data["spec"].get("accessModes") or ()):
        yield Remark(
            level=Level.NOTE,
            field="spec.accessModes",
            what="ReadWriteOnce is for the pods of one node, which here are all",
        )


def _cron_job(data: Mapping[str, Any]) -> Iterator[Remark]:
    if not data["spec"].get("timeZone"):
        yield Remark(
            level=Level.NOTE,
            field="spec.timeZone",
            what="without it the hours are those of the machine; a cluster's are mostly UTC",
            do="name the time zone",
        )


def _autoscaler(data: Mapping[str, Any]) -> Iterator[Remark]:
    kinds = {str(metric.get("type")) for metric in data["spec"].get("metrics") or ({"type": "Resource"},)}
    if kinds & {"Resource", "ContainerResource"} or "targetCPUUtilizationPercentage" in data["spec"]:
        yield Remark(
            level=Level.NEED, field="spec.metrics", what="a cluster must measure CPU and memory", do="metrics-server"
        )
    if "Pods" in kinds:
        yield Remark(
            level=Level.NEED,
            field="spec.metrics",
            what="a Pods metric is the balancer's here; a cluster must have somebody who tells it",
            do="an adapter for custom metrics",
        )


_RULES: dict[str, Callable[[Mapping[str, Any]], Iterable[Remark]]] = {
    "CronJob": _cron_job,
    "HorizontalPodAutoscaler": _autoscaler,
    "Ingress": _ingress,
    "PersistentVolumeClaim": _claim,
    "Secret": _secret,
    "Service": _service,
}

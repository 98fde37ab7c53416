"""Kubernetes manifests: text to values, a strict subset, everything else refused by name with its line."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

from runtime.errors import ManifestError
from runtime.manifest.autoscaler import autoscaler
from runtime.manifest.check import check
from runtime.manifest.claim import claim
from runtime.manifest.config_map import ConfigMap, config_map
from runtime.manifest.cron_job import cron_job
from runtime.manifest.cursor import Cursor
from runtime.manifest.exported import drop_exported
from runtime.manifest.ingress import ingress
from runtime.manifest.kinds import KINDS, KNOWN_KINDS, OLDER
from runtime.manifest.model import Deployment, Document, Job, Manifest, Pod, Secret, Service
from runtime.manifest.namespace import Namespace, placed, subject
from runtime.manifest.namespace import namespace as parse_namespace
from runtime.manifest.parse import deployment, job, pod, secret
from runtime.manifest.routing import Ingress
from runtime.manifest.schema import inner
from runtime.manifest.service import service
from runtime.manifest.tree import Node, Plain, node_of, read, write

__all__ = [
    "ConfigMap",
    "Deployment",
    "Document",
    "Ingress",
    "Job",
    "Namespace",
    "Pod",
    "Secret",
    "Service",
    "dump",
    "load",
    "reload",
]

_LIST = "List"
_PARSE: Mapping[str, Callable[[Cursor], Manifest]] = {
    "ConfigMap": config_map,
    "CronJob": cron_job,
    "Deployment": deployment,
    "HorizontalPodAutoscaler": autoscaler,
    "Ingress": ingress,
    "Job": job,
    "Namespace": parse_namespace,
    "PersistentVolumeClaim": claim,
    "Pod": pod,
    "Secret": secret,
    "Service": service,
}


def load(text: str, source: str = "manifest.yaml", namespace: str | None = None) -> tuple[Document, ...]:
    """The objects of one or several YAML documents, ``kind: List`` taken apart; raises ManifestError. Where `namespace`
    is given those that name none are in it, and none may name another."""
    documents: list[Document] = []
    for node in read(text, source):
        for item in _unfold(node, source):
            documents.append(_document(placed(item, namespace, source) if namespace else item, source))
    if not documents:
        raise ManifestError("empty-manifest", source, "no object in it, expected a Deployment, for example")
    _refuse_twins(documents)
    return tuple(documents)


def dump(documents: Iterable[Mapping[str, Plain]]) -> str:
    """Manifests as YAML, from the data of their documents: each begins with a line of ``---``, and a string that
    go-yaml would take for something else is quoted."""
    return write(documents)


def reload(data: Mapping[str, Plain]) -> Manifest:
    """The object of a document's data, which `load` has accepted before."""
    # Not by way of its text, which takes ten times as long: an apply does this for each revision that is kept.
    return _document(node_of(dict(data)), "store").object


def _unfold(node: Node, source: str) -> list[Node]:
    root = Cursor(node, source)
    if root.get("kind").node.value != _LIST:
        return [node]
    if not isinstance(node.value, dict):
        return [node]
    for name, entry in node.value.items():
        if name not in ("apiVersion", "kind", "items", "metadata"):
            raise ManifestError(
                "unknown-field",
                f"{source}:{entry.line}",
                f"{name} is not a field of a List",
                hint="known here: apiVersion, items, kind, metadata",
            )
    _check_version(root, _LIST, "v1")
    items = root.get("items")
    if not isinstance(items.node.value, list):
        raise items.fail("wrong-type", f" is {items.node.word()}, expected a list")
    return items.node.value


def _document(node: Node, source: str) -> Document:
    root = Cursor(node, source)
    if not isinstance(node.value, dict):
        raise ManifestError("wrong-type", f"{source}:{node.line}", f"the document is {node.word()}, expected a mapping")
    kind = _kind(root)
    drop_exported(node, kind)
    version, shape = KINDS[kind]
    older = OLDER.get((kind, str(root.get("apiVersion").node.value)))
    if older is None:
        _check_version(root, kind, version)
    else:
        shape = older
    schema = inner(shape)
    assert schema is not None
    check(node, schema, source)
    parsed = _PARSE[kind](root)
    data = node.plain()
    assert isinstance(data, dict)
    return Document(
        kind=kind,
        namespace=parsed.namespace,
        name=parsed.name,
        data=_with_namespace(data, parsed.namespace) if parsed.namespace else data,
        object=parsed,
        where=f"{source}:{node.line}",
    )


def _kind(root: Cursor) -> str:
    cursor = root.get("kind")
    kind = cursor.node.value
    if kind is None:
        raise root.fail("missing-field", "kind is missing", hint="add `kind: Deployment` or `kind: Service`")
    if not isinstance(kind, str):
        raise cursor.fail("wrong-type", f" is {cursor.node.word()}, expected a string")
    if kind in KINDS:
        return kind
    if kind in KNOWN_KINDS:
        raise cursor.fail(
            "unsupported-kind",
            f": {kind} is a kind of Kubernetes that imageforge does not support",
            hint=f"supported: {', '.join(sorted(KINDS))}",
        )
    close = difflib.get_close_matches(kind.capitalize(), [*KINDS, *KNOWN_KINDS], n=1, cutoff=0.6)
    raise cursor.fail(
        "unknown-kind",
        f": {kind} is no kind of Kubernetes",
        hint=f"did you mean {close[0]}?" if close else f"supported: {', '.join(sorted(KINDS))}",
    )


def _check_version(root: Cursor, kind: str, version: str) -> None:
    cursor = root.get("apiVersion")
    if cursor.node.value is None:
        raise root.fail("missing-field", "apiVersion is missing", hint=f"add `apiVersion: {version}`")
    if cursor.node.value != version:
        raise cursor.fail(
            "unsupported-version",
            f" is {cursor.node.word()}, expected {version} for {kind}",
            hint=f"write `apiVersion: {version}`",
        )


def _with_namespace(data: dict[str, Plain], namespace: str) -> dict[str, Plain]:
    meta = data["metadata"]
    assert isinstance(meta, dict)
    return {**data, "metadata": {**meta, "namespace": namespace}}


def _refuse_twins(documents: list[Document]) -> None:
    seen: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        key = (document.kind, document.namespace, document.name)
        if key in seen:
            raise ManifestError(
                "duplicate-object",
                document.where,
                f"{subject(document.kind, document.namespace, document.name)} is already at {seen[key].where}",
            )
        seen[key] = document

"""What an object of a manifest takes something of, by kind and name; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imageforge.pipeline.manifests import CLAIM

_FIELDS = {
    "secret": "Secret",
    "secretRef": "Secret",
    "secretKeyRef": "Secret",
    "configMap": "ConfigMap",
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "persistentVolumeClaim": CLAIM,
    "dataSource": CLAIM,
    "dataSourceRef": CLAIM,
    "scaleTargetRef": "Deployment",
}
"""Kinds by the field that names an object in a mapping of its own."""
_LISTS = {"imagePullSecrets": "Secret", "tls": "Secret"}
"""The same of fields with several."""
_NAMES = ("name", "secretName", "claimName")


def references(document: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Secrets, ConfigMaps and claims that its containers are given, the Secrets whose certificates it shows, the claim
    that it is filled with, the Deployment that it scales."""
    return frozenset(_below(document.get("spec")))


def _below(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _below(item)
    if not isinstance(value, Mapping):
        return
    for field, inner in value.items():
        if field in _FIELDS:
            yield from _named(_FIELDS[field], inner)
        elif field in _LISTS and isinstance(inner, list):
            for item in inner:
                yield from _named(_LISTS[field], item)
        yield from _below(inner)


def _named(kind: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        yield from ((kind, str(value[name])) for name in _NAMES if value.get(name))

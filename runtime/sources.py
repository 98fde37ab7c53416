"""What a container may be given: the Secrets and ConfigMaps of its namespace, and what is told of its replica."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from runtime.errors import ConfigError
from runtime.manifest.config_map import ConfigMap
from runtime.manifest.resource_field import ResourceField
from runtime.manifest.resources import Resources
from runtime.manifest.variable import ADDRESS_PATHS, subscript
from runtime.secret import Lookup

ConfigLookup = Callable[[str], ConfigMap | None]
"""A ConfigMap by its name; None where there is none."""

SERVICE_ACCOUNT = "default"
"""The name that a cluster gives every pod that names no other; there are no accounts here."""


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """What a replica is told of itself. `host` gives this machine's address, as containers reach it, `address` its own;
    they are asked only where somebody wants to know."""

    name: str
    namespace: str
    uid: str
    node: str
    host: Callable[[], str]
    address: Callable[[], str] = str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def value(self, path: str) -> str:
        """The value of a field; empty for a label or annotation that is not there, as the kubelet has it."""
        if path in ("status.hostIP", "status.hostIPs"):
            return self.host()
        if path in ADDRESS_PATHS:
            return self.address()
        found = subscript(path)
        if found is not None:
            return (self.labels if found[0] == "labels" else self.annotations).get(found[1], "")
        return {
            "metadata.name": self.name,
            "metadata.namespace": self.namespace,
            "metadata.uid": self.uid,
            "spec.nodeName": self.node,
            "spec.serviceAccountName": SERVICE_ACCOUNT,
        }[path]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """All of it. `pod`, `amount`, which gives what a container with these resources is told of them, and `file`, which
    gives what was written to a volume at a path, None for nothing, are None only where nothing asks for them."""

    namespace: str
    secret: Lookup = _nothing
    config_map: ConfigLookup = _nothing
    pod: Pod | None = None
    amount: Callable[[ResourceField, Resources], str] | None = None
    file: Callable[[str, str], bytes | None] | None = None


def not_there(kind: str, namespace: str, name: str) -> ConfigError:
    """The error for a Secret or ConfigMap that a container needs, in the kubelet's words."""
    return ConfigError(
        "secret-not-found" if kind == "Secret" else "config-map-not-found",
        f"{kind} {namespace}/{name}",
        f'{kind.lower()} "{name}" not found',
        hint="apply it; the replica then starts by itself",
    )

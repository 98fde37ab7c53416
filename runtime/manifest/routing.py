"""networking.k8s.io/v1 Ingress as a value: which requests lead to which Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ANY_HOST = "*"


class PathType(StrEnum):
    """How a path is compared: as a whole, or by its elements; ImplementationSpecific is by its elements here."""

    EXACT = "Exact"
    PREFIX = "Prefix"
    IMPLEMENTATION_SPECIFIC = "ImplementationSpecific"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A port of a Service of the same namespace, by its number or name."""

    service: str
    port: int | str


@dataclass(frozen=True, kw_only=True, slots=True)
class IngressRoute:
    """Where requests for a host and path lead. `host` may be ``*.domain``, or ``*`` for any; not `exact`, the path and
    all below it are meant."""

    host: str
    path: str
    exact: bool
    target: Target


@dataclass(frozen=True, kw_only=True, slots=True)
class IngressTls:
    """A certificate: the Secret of the same namespace that holds it, and the hosts that it is for."""

    hosts: tuple[str, ...]
    secret: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingress:
    """Its routes, the default one of each host among them."""

    namespace: str
    name: str
    routes: tuple[IngressRoute, ...]
    tls: tuple[IngressTls, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Each host once, those that stand for several among them."""
        return tuple(dict.fromkeys(route.host for route in self.routes))

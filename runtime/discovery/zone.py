"""The names that lead to Services, as the resolver is told them: one value, computed anew at each look. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runtime.manifest.model import Service
from runtime.roster import Replica

CLUSTER = "cluster.local"
"""The domain below which every cluster's names end unless somebody chose another."""
VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """`names` are whole names without a dot at the end, in lower case, and their IPv4 addresses, none where no replica
    of a headless Service is ready; `listen` the addresses where it is told."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    listen: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As the resolver reads it."""
        return json.dumps({"version": VERSION, "names": self.names, "listen": self.listen}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Zone:
        """The inverse of `to_json`; what a later version adds is left out. Raises ValueError."""
        try:
            raw = json.loads(text)
            names = {str(name): tuple(map(str, addresses)) for name, addresses in raw["names"].items()}
            return cls(names=names, listen=tuple(map(str, raw["listen"])))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no zone: {error!r}") from error


def search_list(namespace: str) -> tuple[str, ...]:
    """What is tried behind a short name: it stays in the namespace, and ``service.namespace`` leaves it."""
    return (f"{namespace}.svc.{CLUSTER}", f"svc.{CLUSTER}", CLUSTER)


def service_name(namespace: str, service: str) -> str:
    """The whole name of a Service."""
    return f"{service}.{namespace}.svc.{CLUSTER}"


def zone(
    services: Iterable[Service],
    addresses: Mapping[tuple[str, str], str],
    replicas: Sequence[Replica],
    listen: Iterable[str],
) -> Zone:
    """A name for each Service with an address of its own, and for each headless one those of its ready replicas; below
    it the host names of those that name it as their subdomain."""
    names: dict[str, tuple[str, ...]] = {}
    for service in services:
        name = service_name(service.namespace, service.name)
        if service.headless:
            ready = [replica for replica in replicas if replica.serves and replica.is_of(service)]
            names[name] = tuple(sorted(replica.address for replica in ready))
            for replica in ready:
                if replica.template.hostname and replica.template.subdomain == service.name:
                    own = f"{replica.template.hostname}.{name}"
                    names[own] = tuple(sorted((*names.get(own, ()), replica.address)))
        elif address := addresses.get((service.namespace, service.name)):
            names[name] = (address,)
    return Zone(names=dict(sorted(names.items())), listen=tuple(sorted(set(listen))))

"""What only one object can have: a host on the entry port, a path of it, a port of the machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from runtime.errors import Conflict
from runtime.manifest.model import Service
from runtime.manifest.routing import Ingress

Key = tuple[str, str]


def refuse_conflicts(
    services: Iterable[Service], ingresses: Iterable[Ingress], given: Mapping[Key, Mapping[str, int]]
) -> None:
    """Raise Conflict (`host-taken`, `path-taken`, `node-port-taken`) where two of these ask for the same. `given` are
    the machine's ports that Services have without asking for them."""
    services, ingresses = tuple(services), tuple(ingresses)
    hosts: dict[str, str] = {}
    for service in services:
        for host in service.hosts:
            _claim(hosts, host, f"Service {service.namespace}/{service.name}")
    _check_ingresses(ingresses, hosts)
    _check_node_ports(services, given)


def _claim(owners: dict[str, str], host: str, owner: str) -> None:
    other = owners.setdefault(host, owner)
    if other != owner:
        raise Conflict(
            "host-taken",
            owner,
            f"the host {host} already leads to {other}",
            hint="choose another host, or take it from the other one",
        )


def _check_ingresses(ingresses: Iterable[Ingress], hosts: Mapping[str, str]) -> None:
    """Several of one namespace may share a host, each with paths of its own."""
    namespaces: dict[str, Ingress] = {}
    paths: dict[tuple[str, str, bool], Ingress] = {}
    for ingress in ingresses:
        owner = f"Ingress {ingress.namespace}/{ingress.name}"
        for host in ingress.hosts:
            other = namespaces.setdefault(host, ingress)
            if host in hosts:
                _claim({host: hosts[host]}, host, owner)
            if other.namespace != ingress.namespace:
                _claim({host: f"Ingress {other.namespace}/{other.name}"}, host, owner)
        for route in ingress.routes:
            known = paths.setdefault((route.host, route.path, route.exact), ingress)
            if known is not ingress:
                raise Conflict(
                    "path-taken",
                    owner,
                    f"{route.host}{route.path} already leads where Ingress {known.namespace}/{known.name} says",
                    hint="choose another path or host, or take it from the other Ingress",
                )


def _check_node_ports(services: Iterable[Service], given: Mapping[Key, Mapping[str, int]]) -> None:
    """Those that were asked for come first: who has one that was given is moved for them by nobody."""
    owners: dict[int, Key] = {}
    services = tuple(services)
    for service in services:
        for port in service.ports:
            if port.node_port:
                _claim_port(owners, port.node_port, (service.namespace, service.name))
    for service in services:
        key = (service.namespace, service.name)
        for port in service.ports:
            number = given.get(key, {}).get(port.name)
            if number and not port.node_port and service.has_node_ports:
                _claim_port(owners, number, key)


def _claim_port(owners: dict[int, Key], number: int, owner: Key) -> None:
    other = owners.setdefault(number, owner)
    if other != owner:
        raise Conflict(
            "node-port-taken",
            f"Service {'/'.join(owner)}",
            f"port {number} of this machine is already that of Service {'/'.join(other)}",
            hint="choose another from 30000 to 32767, or leave nodePort out and take the one that is given",
        )

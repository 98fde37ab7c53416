"""Which replicas a Service leads to, and what of it the balancer serves: a pure function of Services and replicas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runtime.balancer.config import Backend, Bind, Route, Server, backend_name
from runtime.manifest.model import PodTemplate, Protocol, Service, ServicePort
from runtime.manifest.routing import Ingress, Target
from runtime.roster import Replica

Key = tuple[str, str]
Ingresses = Sequence[Ingress]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What is bound for the ports of one Service, by the port's number: its own address, the machine's, or none."""

    ports: Mapping[int, tuple[Bind, ...]]


def wanted_backends(
    services: Iterable[Service], replicas: Sequence[Replica], bound: Mapping[Key, Bound], ingresses: Ingresses = ()
) -> tuple[Backend, ...]:
    """A backend for each port of a Service that hosts, paths or addresses lead to, holding the replicas that should be
    given requests."""
    return tuple(backend for service in services for backend in _backends(service, replicas, bound, ingresses))


def routed_port(service: Service, template: PodTemplate) -> int | None:
    """The port in a replica of `template` that the Service's hosts lead to; a name is looked up in the replica."""
    return template.port_number(service.routed_port.target)


def routes_to(service: Service, namespace: str, template: PodTemplate) -> bool:
    """Whether requests for the Service's hosts go to replicas of `template`."""
    return bool(service.hosts) and leads_to(service, namespace, template)


def leads_to(service: Service, namespace: str, template: PodTemplate) -> bool:
    """Whether the Service's replicas are those of `template`."""
    return service.namespace == namespace and service.selects(template.labels)


def places(
    services: Iterable[Service], replica: Replica, bound: Mapping[Key, Bound], ingresses: Ingresses = ()
) -> frozenset[tuple[str, str]]:
    """Every (backend, server) at which the replica is to be given requests, once it is ready."""
    return frozenset(
        (backend.name, replica.name)
        for service in services
        if replica.is_of(service)
        for backend in _backends(service, (), bound, ingresses)
        # To hosts that lead to nothing a rollout must not come; another port may be of other replicas.
        if backend.hosts or _number(service, backend, replica) is not None
    )


def has_all(backend: Backend, up: frozenset[tuple[str, str]]) -> bool:
    """Whether every server of a backend is among those that are given requests."""
    return all((backend.name, server.name) in up for server in backend.servers)


def backend_of(service: Service, port: ServicePort) -> str:
    """The name of a port's backend."""
    own = "" if port == service.routed_port else port.name
    return backend_name(service.namespace, service.name, own)


def endpoints(service: Service, replicas: Iterable[Replica]) -> tuple[Replica, ...]:
    """The replicas that are given requests: those that are ready, and where there is none, those that were when they
    were told to end and still run (KEP-1669)."""
    mine = [item for item in replicas if item.is_of(service)]
    return tuple(item for item in mine if item.serves) or tuple(item for item in mine if item.serves_at_its_end)


def unmet(ingress: Ingress, services: Iterable[Service]) -> tuple[str, ...]:
    """Why some of its routes lead nowhere."""
    known = {service.name: service for service in services if service.namespace == ingress.namespace}
    reasons: dict[str, None] = {}
    for target in dict.fromkeys(route.target for route in ingress.routes):
        service = known.get(target.service)
        port = next((port for port in service.ports if _is(port, target)), None) if service else None
        if service is None:
            reasons[f"there is no Service {target.service}"] = None
        elif port is None:
            reasons[f"Service {target.service} has no port {target.port}"] = None
        elif service.speaks(port, routed=True) is Protocol.TCP:
            reasons[f"Service {target.service} says of its port {target.port} that it does not speak HTTP"] = None
    return tuple(reasons)


def _is(port: ServicePort, target: Target) -> bool:
    return target.port in (port.port, port.name)


def _routes(service: Service, port: ServicePort, ingresses: Ingresses) -> tuple[Route, ...]:
    return tuple(
        Route(host=route.host, path=route.path, exact=route.exact)
        for ingress in ingresses
        if ingress.namespace == service.namespace
        for route in ingress.routes
        if route.target.service == service.name and _is(port, route.target)
    )


def _backends(
    service: Service, replicas: Iterable[Replica], bound: Mapping[Key, Bound], ingresses: Ingresses
) -> Iterator[Backend]:
    there = endpoints(service, replicas)
    known = bound.get((service.namespace, service.name))
    for port in service.ports:
        hosts = service.hosts if port == service.routed_port else ()
        binds = known.ports.get(port.port, ()) if known else ()
        routes = _routes(service, port, ingresses)
        protocol = service.speaks(port, routed=bool(routes))
        if protocol is Protocol.TCP:
            routes = ()
        if hosts or binds or routes:
            yield Backend(
                name=backend_of(service, port),
                hosts=hosts,
                servers=tuple(sorted(_servers(port, there))),
                binds=tuple(sorted(binds)),
                protocol=protocol,
                routes=tuple(sorted(routes)),
                affinity=service.affinity or 0,
                least_connections=service.least_connections,
            )


def _servers(port: ServicePort, replicas: Iterable[Replica]) -> Iterator[Server]:
    for replica in replicas:
        number = replica.template.port_number(port.target)
        if number is not None:
            yield Server(name=replica.name, address=replica.address, port=number)


def _number(service: Service, backend: Backend, replica: Replica) -> int | None:
    port = next(port for port in service.ports if backend_of(service, port) == backend.name)
    return replica.template.port_number(port.target)

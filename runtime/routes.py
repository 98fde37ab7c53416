"""Which replicas a routed Service leads to: a pure function of Services and replicas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runtime.balancer.config import Backend, Server, backend_name
from runtime.manifest.model import PodTemplate, Service
from runtime.roster import Replica


def wanted_backends(services: Iterable[Service], replicas: Sequence[Replica]) -> tuple[Backend, ...]:
    """A backend for each Service with a host, holding the replicas that should be given requests."""
    return tuple(
        Backend(
            name=backend_name(service.namespace, service.name),
            hosts=service.hosts,
            servers=tuple(sorted(_servers(service, replicas))),
        )
        for service in services
        if service.hosts
    )


def routed_port(service: Service, template: PodTemplate) -> int | None:
    """The port in a replica of `template` that the Service's hosts lead to; a name is looked up in the replica."""
    return template.port_number(service.routed_port.target)


def leads_to(service: Service, namespace: str, template: PodTemplate) -> bool:
    """Whether requests for the Service's hosts go to replicas of `template`."""
    return bool(service.hosts) and service.namespace == namespace and service.selects(template.labels)


def _servers(service: Service, replicas: Iterable[Replica]) -> list[Server]:
    out = []
    for replica in replicas:
        port = routed_port(service, replica.template)
        if replica.serves and port is not None and leads_to(service, replica.namespace, replica.template):
            out.append(Server(name=replica.name, address=replica.address, port=port))
    return out

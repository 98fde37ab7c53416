"""What a container is told of the Services around it: variables, and where it asks for names. Pure.

After the kubelet's envvars.FromServices (kubernetes/pkg/kubelet/envvars): the Services of its namespace that have an
address when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from runtime.manifest.lookup import CLUSTER, Lookup
from runtime.manifest.model import Service, ServicePort


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """`nameserver` is empty where no resolver answers on the network; the engine's own way to names is left then."""

    variables: Mapping[str, str] = field(default_factory=dict)
    nameserver: str = ""
    search: tuple[str, ...] = ()


NO_LINKS = Links()
NDOTS = "ndots:5"
"""Names with fewer dots are tried with the search list first, as in every pod of a cluster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What stands in a container's resolv.conf, as the engine is told it; without nameservers it has its own way."""

    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def asked(said: Lookup, links: Links, host: Callable[[], Asked]) -> Asked:
    """Where the containers of a pod ask for names: by its policy, then what it says itself, as the kubelet joins them
    (kubernetes/pkg/kubelet/network/dns). `host` is how this machine does."""
    own = Asked(nameservers=said.nameservers, search=said.searches, options=said.options)
    base = Asked()
    if said.policy == CLUSTER and links.nameserver:
        base = Asked(nameservers=(links.nameserver,), search=links.search, options=(NDOTS,))
    elif said.policy != "None" and own != Asked():
        base = host()
    options = {item.partition(":")[0]: item for item in (*base.options, *own.options)}
    return Asked(
        nameservers=tuple(dict.fromkeys((*base.nameservers, *own.nameservers))),
        search=tuple(dict.fromkeys((*base.search, *own.search))),
        options=tuple(options.values()),
    )


def service_variables(
    services: Iterable[Service], addresses: Mapping[tuple[str, str], str], namespace: str
) -> dict[str, str]:
    """The variables of a container in the namespace."""
    variables: dict[str, str] = {}
    for service in sorted(services, key=lambda item: item.name):
        address = addresses.get((service.namespace, service.name))
        if service.namespace == namespace and not service.headless and address:
            variables |= _of(service, address)
    return variables


def _of(service: Service, address: str) -> dict[str, str]:
    prefix = service.name.upper().replace("-", "_")
    first = service.ports[0]
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first.port)}
    for port in service.ports:
        if port.name:
            variables[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    # As Docker's links had them, which Kubernetes went on with.
    variables[f"{prefix}_PORT"] = _url(address, first)
    for port in service.ports:
        known = f"{prefix}_PORT_{port.port}_TCP"
        variables |= {
            known: _url(address, port),
            f"{known}_PROTO": "tcp",
            f"{known}_PORT": str(port.port),
            f"{known}_ADDR": address,
        }
    return variables


def _url(address: str, port: ServicePort) -> str:
    return f"tcp://{address}:{port.port}"

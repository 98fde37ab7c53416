"""The one who gives Services their addresses, puts them on the bridges, and keeps the resolver in step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import TypeVar

from runtime.balancer.config import Bind
from runtime.container import network_name
from runtime.discovery import host
from runtime.discovery.links import NO_LINKS, Links, service_variables
from runtime.discovery.network import NetworkFacts, free_addresses
from runtime.discovery.node_ports import node_ports
from runtime.discovery.resolv_conf import host_asked
from runtime.discovery.telling import keep, tell
from runtime.discovery.zone import Zone, search_list, zone
from runtime.engine import Engine
from runtime.errors import EngineError
from runtime.events import Recorder
from runtime.labels import Label
from runtime.manifest.model import PodTemplate, Service, ServicePort
from runtime.model import ServicePortStatus, ServiceStatus
from runtime.roster import Replica
from runtime.routes import Bound, endpoints
from runtime.settings import RuntimeSettings
from runtime.store import Store

log = logging.getLogger(__name__)

AGAIN_SECONDS = 10.0
"""How soon is asked again what may be as it was: a network without its bridge here, a resolver that does not answer."""
ENGINE_SECONDS = 2.0
Key = tuple[str, str]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a Service is reached: its own address, and the machine's ports by the names of its own. `problems` are by
    the port's number; `problem` is of the address."""

    address: str = ""
    node_ports: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""
    problems: Mapping[int, str] = field(default_factory=dict)
    binds: Mapping[int, tuple[Bind, ...]] = field(default_factory=dict)


NOWHERE = Place()


class Discovery:
    """Addresses, bridges and names. The controller's loop calls `sync`; everybody else asks."""

    def __init__(
        self,
        settings: RuntimeSettings,
        store: Store,
        engine: Engine,
        services: Callable[[], tuple[Service, ...]],
        events: Recorder,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._services = services
        self._events = events
        self._never = host.cannot_have_addresses(settings.engine)
        self._lock = threading.RLock()
        self._networks: dict[str, NetworkFacts] = {}
        self._surveyed = False
        self._places = {
            key: Place(address=address, node_ports=ports) for key, (address, ports) in store.service_places().items()
        }
        self._kept: Zone | None = None
        self._told: Zone | None = None
        self._deaf: dict[str, str] = {}
        self._engine_error: EngineError | None = None
        self._engine_again = 0.0
        self._ask_again: dict[str, float] = {}
        self._tell_again = 0.0
        self._replicas: Sequence[Replica] = ()

    def sync(self, services: Sequence[Service], replicas: Sequence[Replica]) -> frozenset[str]:
        """Bring addresses, bridges and names to what these Services ask for; the namespaces of those that are gone."""
        self._survey()
        left = self._release({(service.namespace, service.name) for service in services})
        for service in services:
            self._settle(service, replicas)
        with self._lock:
            self._replicas = replicas
            self._announce()
        return left

    def bound(self) -> dict[Key, Bound]:
        """What the balancer is to bind for each Service."""
        with self._lock:
            return {key: Bound(ports=place.binds) for key, place in self._places.items()}

    def met(self, namespace: str, facts: NetworkFacts | None) -> None:
        """A namespace's network, as the engine has it now; None where it is gone."""
        with self._lock:
            if facts is None:
                self._networks.pop(namespace, None)
            else:
                self._networks[namespace] = facts

    def needs(self, namespace: str) -> bool:
        """Whether a Service has an address on the namespace's network."""
        with self._lock:
            return any(key[0] == namespace and place.address for key, place in self._places.items())

    def links(self, namespace: str, template: PodTemplate) -> Links:
        """What a container that is made now is told of the Services around it."""
        with self._lock:
            if self._never:
                return NO_LINKS
            addresses = self._addresses()
            variables = service_variables(self._services(), addresses, namespace) if template.service_links else {}
            facts = self._networks.get(namespace)
            if facts is None or not host.bridge_is_here(facts.bridge):
                return Links(variables=variables)
            self._announce()
            where = _listening(facts)
            if self._told is None or where in self._deaf:
                log.warning("container without names of Services", extra={"namespace": namespace})
                return Links(variables=variables)
        return Links(
            variables=variables,
            nameserver=str(facts.gateway),
            search=tuple(dict.fromkeys((*search_list(namespace), *host_asked().search))),
        )

    def status(self, service: Service, replicas: Sequence[Replica]) -> ServiceStatus:
        """How a Service stands now."""
        with self._lock:
            place = self._places.get((service.namespace, service.name), NOWHERE)
        return ServiceStatus(
            name=service.name,
            namespace=service.namespace,
            type=service.type,
            address="" if place.problem else place.address,
            headless=service.headless,
            external=self._settings.http_address if service.type == "LoadBalancer" and place.node_ports else "",
            hosts=service.hosts,
            affinity=service.affinity or 0,
            endpoints=tuple(sorted(replica.address for replica in endpoints(service, replicas))),
            message=place.problem or self._name_problem(service),
            ports=tuple(
                ServicePortStatus(
                    port=port.port,
                    target=str(port.target),
                    protocol=service.speaks(port),
                    name=port.name,
                    node_port=place.node_ports.get(port.name, 0),
                    problem=place.problems.get(port.port, ""),
                )
                for port in service.ports
            ),
        )

    def _name_problem(self, service: Service) -> str:
        with self._lock:
            if self._never and service.headless:
                return f"no container can ask for its name: {self._never}"
            if self._told is None:
                return "no container can ask for its name: the resolver does not answer (imageforge status)"
            facts = self._networks.get(service.namespace)
            return "" if facts is None else self._deaf.get(_listening(facts), "")

    def _survey(self) -> None:
        """What networks there are, once: containers from before ask on them."""
        if self._surveyed or self._never:
            return
        try:
            found = self._engine.known_networks(self._settings.instance)
        except EngineError as error:
            log.warning("networks not seen", extra={"error": str(error)})
            return
        with self._lock:
            self._networks = {**found, **self._networks}
            self._surveyed = True

    def _release(self, wanted: set[Key]) -> frozenset[str]:
        with self._lock:
            gone = {key: place for key, place in self._places.items() if key not in wanted}
            for key, place in gone.items():
                self._store.drop_service_place(*key)
                del self._places[key]
                self._off_the_bridge(key[0], place)
        return frozenset(key[0] for key in gone)

    def _off_the_bridge(self, namespace: str, place: Place) -> None:
        facts = self._networks.get(namespace)
        if place.address and facts is not None:
            host.take(place.address, facts.bridge)

    def _settle(self, service: Service, replicas: Sequence[Replica]) -> None:
        key = (service.namespace, service.name)
        with self._lock:
            before = self._places.get(key, NOWHERE)
        address, problem = "", ""
        if not service.headless:
            address, problem = self._address(service, before.address, replicas)
        with self._lock:
            if before.address and before.address != address and not problem:
                self._off_the_bridge(service.namespace, before)
            ports = node_ports(service, before.node_ports, self._held_ports(key), self._usable)
            place = self._bind(service, Place(address=address, node_ports=ports, problem=problem))
            if (place.address, place.node_ports) != (before.address, before.node_ports):
                self._store.put_service_place(*key, place.address, dict(place.node_ports))
            self._places[key] = place
        self._say(service, before, place)

    def _address(self, service: Service, before: str, replicas: Sequence[Replica]) -> tuple[str, str]:
        """The Service's address, and why it has none or cannot be reached by it."""
        if self._never:
            return before, f"it has no address of its own: {self._never}"
        try:
            facts = self._network(service.namespace)
            if facts is None:
                return before, "it has no address of its own: its namespace's network has no IPv4 addresses"
            containers = {replica.address for replica in replicas if replica.namespace == service.namespace}
            address = before
            if not before or not facts.may_serve(IPv4Address(before)) or before in containers:
                address = self._choose(facts, containers)
        except EngineError as error:
            reached = bool(before) and host.is_here(before)
            return before, "" if reached else f"it has no address of its own yet: {error.message}"
        problem = self._on_the_bridge(address, facts)
        if problem and time.monotonic() >= self._ask_again.get(service.namespace, 0.0):
            # The network may be another by now.
            self._ask_again[service.namespace] = time.monotonic() + AGAIN_SECONDS
            self.met(service.namespace, None)
        return address, problem

    def _on_the_bridge(self, address: str, facts: NetworkFacts) -> str:
        """Why the address cannot be reached, or nothing."""
        if not address:
            return f"it has no address of its own: none of {facts.subnet} is free"
        if host.is_here(address):
            return ""
        if not host.bridge_is_here(facts.bridge):
            return f"it has no address of its own: {facts.bridge}, its network, is not seen on this host"
        failed = host.put(address, facts.bridge)
        return f"its address {address} is not on {facts.bridge}: {failed}" if failed else ""

    def _network(self, namespace: str) -> NetworkFacts | None:
        with self._lock:
            known = self._networks.get(namespace)
        if known is not None:
            return known
        instance = self._settings.instance
        labels: dict[str, str] = {Label.INSTANCE: instance, Label.NAMESPACE: namespace}
        facts = self._asked(lambda: self._engine.ensure_network(network_name(instance, namespace), labels))
        self.met(namespace, facts)
        return facts

    def _asked(self, ask: Callable[[], T]) -> T:
        """What the engine says. After it failed one Service the others do not ask at once: it may take a minute to."""
        if self._engine_error is not None and time.monotonic() < self._engine_again:
            raise self._engine_error
        try:
            said = ask()
        except EngineError as error:
            self._engine_error, self._engine_again = error, time.monotonic() + ENGINE_SECONDS
            raise
        self._engine_error = None
        return said

    def _choose(self, facts: NetworkFacts, containers: Iterable[str]) -> str:
        used = self._asked(lambda: self._engine.network_addresses(facts.id)) | {
            IPv4Address(item) for item in containers if item
        }
        with self._lock:
            used |= {IPv4Address(place.address) for place in self._places.values() if place.address}
        free = (str(address) for address in free_addresses(facts, frozenset(used)))
        return next((address for address in free if not host.is_here(address)), "")

    def _held_ports(self, key: Key) -> frozenset[int]:
        return frozenset(
            number for other, place in self._places.items() if other != key for number in place.node_ports.values()
        )

    def _usable(self, number: int) -> bool:
        return not host.cannot_be_bound(Bind(address=self._settings.http_address, port=number))

    def _bind(self, service: Service, place: Place) -> Place:
        """The place with what is to be bound for it: only what can be, for one address that is taken would keep every
        change out of the balancer."""
        binds: dict[int, tuple[Bind, ...]] = {}
        problems: dict[int, str] = {}
        for port in service.ports:
            wanted = self._wanted_binds(service, port, place)
            refused = {bind: reason for bind in wanted if (reason := host.cannot_be_bound(bind))}
            binds[port.port] = tuple(bind for bind in wanted if bind not in refused)
            if refused:
                problems[port.port] = "; ".join(refused.values())
            elif service.has_node_ports and port.name not in place.node_ports:
                problems[port.port] = "no port of the machine is free for it"
        return replace(place, binds=binds, problems=problems)

    def _wanted_binds(self, service: Service, port: ServicePort, place: Place) -> list[Bind]:
        wanted = [Bind(address=place.address, port=port.port)] if place.address and not self._never else []
        if port.name in place.node_ports:
            number = place.node_ports[port.name]
            wanted.append(Bind(address=self._settings.http_address, port=number, sources=service.source_ranges))
        return wanted

    def _say(self, service: Service, before: Place, after: Place) -> None:
        where = ("Service", service.namespace, service.name)
        if after.problem and after.problem != before.problem:
            self._events.say(*where, "AddressUnavailable", after.problem, warning=True)
        for number, problem in after.problems.items():
            if problem != before.problems.get(number):
                self._events.say(*where, "PortUnavailable", f"port {number} is not served: {problem}", warning=True)

    def _addresses(self) -> dict[Key, str]:
        return {key: place.address for key, place in self._places.items() if place.address and not place.problem}

    def _announce(self) -> None:
        """Have the resolver answer with what is so now, where it does not yet."""
        if self._never:
            return
        here = [facts for facts in self._networks.values() if host.bridge_is_here(facts.bridge)]
        wanted = zone(self._services(), self._addresses(), self._replicas, map(_listening, here))
        if (wanted == self._told and not self._deaf) or time.monotonic() < self._tell_again:
            return
        try:
            if wanted != self._kept:
                keep(wanted, self._settings.zone)
                self._kept = wanted
            self._deaf = {
                address: f"the resolver cannot listen on {address.partition('/')[0]}, port 53: {reason}"
                for address, reason in tell(wanted, self._settings.resolver_socket).items()
            }
            self._told = wanted
        except OSError as error:
            self._told = None
            if isinstance(error, TimeoutError):
                self._tell_again = time.monotonic() + AGAIN_SECONDS
            log.debug("resolver not told", extra={"error": str(error)})


def _listening(facts: NetworkFacts) -> str:
    return f"{facts.gateway}/{facts.subnet.prefixlen}"

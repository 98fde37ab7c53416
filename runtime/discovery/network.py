"""A namespace's network as the engine shows it, and which of its addresses a Service may have. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network
from typing import Any

_BRIDGE_OPTION = "com.docker.network.bridge.name"


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkFacts:
    """A bridge network. `containers` is the part of `subnet` that the engine hands out, None where it is all of it;
    `bridge` the interface of the host that runs the engine."""

    id: str
    name: str
    bridge: str
    subnet: IPv4Network
    gateway: IPv4Address
    containers: IPv4Network | None = None

    def may_serve(self, address: IPv4Address) -> bool:
        """Whether a Service may have the address: the network's own, and none that the engine hands out first."""
        if address not in self.subnet or address == self.gateway:
            return False
        if address in (self.subnet.network_address, self.subnet.broadcast_address):
            return False
        return self.containers is None or address not in self.containers


def network_facts(inspected: Mapping[str, Any]) -> NetworkFacts | None:
    """From what the engine says of a network; None where it has no IPv4 addresses."""
    for config in (inspected.get("IPAM") or {}).get("Config") or ():
        subnet = ip_network(config["Subnet"], strict=False)
        if not isinstance(subnet, IPv4Network):
            continue
        said = str(config.get("Gateway") or subnet.network_address + 1)
        chosen = ip_network(config["IPRange"], strict=False) if config.get("IPRange") else None
        return NetworkFacts(
            id=inspected["Id"],
            name=inspected["Name"],
            bridge=(inspected.get("Options") or {}).get(_BRIDGE_OPTION) or f"br-{inspected['Id'][:12]}",
            subnet=subnet,
            gateway=IPv4Address(said.partition("/")[0]),
            containers=chosen if isinstance(chosen, IPv4Network) else None,
        )
    return None


def used_addresses(inspected: Mapping[str, Any]) -> frozenset[IPv4Address]:
    """The addresses of a network's running containers."""
    said = (item.get("IPv4Address") or "" for item in (inspected.get("Containers") or {}).values())
    return frozenset(IPv4Address(address.partition("/")[0]) for address in said if address)


def containers_half(subnet: IPv4Network) -> IPv4Network:
    """The lower half of a new network is the engine's to hand out; the upper is for Services."""
    return next(subnet.subnets(prefixlen_diff=1))


def free_addresses(facts: NetworkFacts, taken: frozenset[IPv4Address]) -> Iterator[IPv4Address]:
    """Those that a Service may have, the last first: an engine without bounds hands out the first ones first."""
    lowest = facts.containers.broadcast_address if facts.containers else facts.subnet.network_address
    for number in range(int(facts.subnet.broadcast_address) - 1, int(facts.subnet.network_address), -1):
        address = IPv4Address(number)
        if facts.containers and address < lowest:
            # Below the engine's part there is room only where somebody chose that part by hand.
            return
        if facts.may_serve(address) and address not in taken:
            yield address

"""Networks of namespaces, and which addresses are free in them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from ipaddress import IPv4Address

import docker
import docker.errors
import docker.types

from runtime.discovery.network import NetworkFacts, containers_half, network_facts, used_addresses
from runtime.engine.connection import Connection, UnlessGone
from runtime.errors import EngineError
from runtime.labels import Label

log = logging.getLogger(__name__)

NETWORK_TRIES = 3
SMALLEST_SHARED = 28
"""Bits of a subnet's prefix above which there is nothing to share between containers and Services."""


class Networks(Connection):
    """The engine's networks."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self._network_lock = threading.Lock()

    def ensure_network(self, name: str, labels: Mapping[str, str]) -> NetworkFacts | None:
        """Make the bridge network unless it is there; the engine would make a second one of the same name. None where
        it has no IPv4 addresses."""
        with self._network_lock, self.translated(f"network {name}") as api:
            there = [network for network in api.networks(names=[name]) if network["Name"] == name]
            if not there:
                return self._make_network(api, name, dict(labels))
            if (there[0].get("Labels") or {}).get(Label.INSTANCE) != labels[Label.INSTANCE]:
                raise EngineError(
                    "network-taken",
                    name,
                    "a network of this name is there and not ours",
                    hint=f"docker network rm {name}",
                )
            return network_facts(there[0])

    def known_networks(self, instance: str) -> dict[str, NetworkFacts]:
        """The instance's networks by their namespaces, without those that have no IPv4 addresses."""
        with self.translated("networks") as api:
            found = api.networks(filters={"label": f"{Label.INSTANCE}={instance}"})
        facts = {(network.get("Labels") or {}).get(Label.NAMESPACE, ""): network_facts(network) for network in found}
        return {namespace: network for namespace, network in facts.items() if namespace and network}

    def network_addresses(self, network_id: str) -> frozenset[IPv4Address]:
        """Those that the network's containers have."""
        with UnlessGone(), self.translated(f"network {network_id[:12]}") as api:
            return used_addresses(api.inspect_network(network_id))
        return frozenset()

    def gateway(self, name: str) -> str:
        """The address of the engine's host on a bridge network."""
        with self.translated(f"network {name}") as api:
            configs = (api.inspect_network(name).get("IPAM") or {}).get("Config") or []
        return next((str(config["Gateway"]) for config in configs if config.get("Gateway")), "")

    def networks(self, instance: str) -> tuple[str, ...]:
        """The names of the instance's networks."""
        with self.translated("networks") as api:
            found = api.networks(filters={"label": f"{Label.INSTANCE}={instance}"})
        return tuple(network["Name"] for network in found)

    def remove_network(self, name: str, instance: str) -> bool:
        """Whether the instance's network is gone; False while something still uses it."""
        try:
            with self._network_lock, self.translated(f"network {name}") as api:
                for network in api.networks(filters={"label": f"{Label.INSTANCE}={instance}"}):
                    if network["Name"] == name:
                        api.remove_network(network["Id"])
        except EngineError as error:
            if error.retryable:
                raise
            log.debug("network kept", extra={"network": name, "error": str(error)})
            return False
        return True

    def _make_network(self, api: docker.APIClient, name: str, labels: dict[str, str]) -> NetworkFacts | None:
        """A network whose upper half the engine does not hand out, for Services. Which addresses are free is for the
        engine to say, so it is asked by way of a network that goes again."""
        for _ in range(NETWORK_TRIES):
            made = api.create_network(name, driver="bridge", labels=labels)
            facts = network_facts(api.inspect_network(made["Id"]))
            if facts is None or facts.subnet.prefixlen > SMALLEST_SHARED:
                return facts
            api.remove_network(made["Id"])
            pool = docker.types.IPAMPool(
                subnet=str(facts.subnet), iprange=str(containers_half(facts.subnet)), gateway=str(facts.gateway)
            )
            try:
                made = api.create_network(
                    name, driver="bridge", labels=labels, ipam=docker.types.IPAMConfig(pool_configs=[pool])
                )
            except docker.errors.APIError as error:
                log.debug("addresses taken meanwhile", extra={"network": name, "error": str(error)})
                continue
            return network_facts(api.inspect_network(made["Id"]))
        return network_facts(api.inspect_network(api.create_network(name, driver="bridge", labels=labels)["Id"]))

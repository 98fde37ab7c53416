"""Ports of the machine for Services of type NodePort and LoadBalancer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from runtime.manifest.model import Service

LOWEST, HIGHEST = 30000, 32767
CHOSEN_BY_HAND = 86
"""So many of the lowest are only given where nothing else is left: those that people choose (KEP-3668)."""


def node_ports(
    service: Service, before: Mapping[str, int], taken: Iterable[int], usable: Callable[[int], bool]
) -> dict[str, int]:
    """The machine's ports of the Service, by the names of its ports: those asked for, those it had, others that are
    free. A port for which there is none is left out."""
    if not service.has_node_ports:
        return {}
    given = {port.name: port.node_port for port in service.ports if port.node_port}
    held = set(taken) | set(given.values())
    for port in service.ports:
        if port.name in given:
            continue
        kept = before.get(port.name)
        chosen = kept if kept and kept not in held else next((free for free in _free(held) if usable(free)), None)
        if chosen is not None:
            given[port.name] = chosen
            held.add(chosen)
    return given


def _free(held: set[int]) -> Iterator[int]:
    order = (*range(LOWEST + CHOSEN_BY_HAND, HIGHEST + 1), *range(LOWEST, LOWEST + CHOSEN_BY_HAND))
    return (number for number in order if number not in held)

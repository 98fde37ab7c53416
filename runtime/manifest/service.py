"""Services: from a checked tree to a value, with the rules that reach over several fields."""

from __future__ import annotations

import re
from ipaddress import ip_network

from runtime.manifest.cursor import Cursor
from runtime.manifest.model import BALANCE_ANNOTATION, HOST_ANNOTATION, PROTOCOL_ANNOTATION, Service, ServicePort

HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")

LOWEST_NODE_PORT = 30000
DEFAULT_AFFINITY = 10800
"""Seconds, as a cluster has it."""
_SELECTOR_HINT = "name the labels of the replicas; endpoints that are written by hand are not supported"


def service(root: Cursor) -> Service:
    """A Service from a tree that the schema has passed."""
    meta, spec = root.get("metadata"), root.get("spec")
    annotations = meta.get("annotations")
    hosts = _hosts(annotations.get(HOST_ANNOTATION))
    parsed = Service(
        namespace=meta.get("namespace").plain("default"),
        name=meta.get("name").plain(),
        selector=spec.get("selector").plain({}),
        ports=tuple(map(_port, spec.get("ports").items())),
        hosts=hosts,
        type=spec.get("type").plain("ClusterIP"),
        headless=_headless(spec.get("clusterIP")),
        affinity=_affinity(spec),
        protocol=_chosen(annotations.get(PROTOCOL_ANNOTATION), ("http", "tcp")),
        least_connections=_chosen(annotations.get(BALANCE_ANNOTATION), ("roundrobin", "leastconn")) == "leastconn",
        source_ranges=tuple(map(_network, spec.get("loadBalancerSourceRanges").items())),
    )
    _check_ports(parsed, spec.get("ports"))
    _check_type(parsed, spec)
    if not parsed.selector:
        raise spec.get("selector").fail(
            "invalid-value", " is empty, expected the labels of the replicas", hint=_SELECTOR_HINT
        )
    if hosts and parsed.protocol == "tcp":
        raise annotations.get(PROTOCOL_ANNOTATION).fail(
            "invalid-value", f" is tcp, and {HOST_ANNOTATION} needs a port that speaks HTTP"
        )
    return parsed


def _port(item: Cursor) -> ServicePort:
    return ServicePort(
        port=item.get("port").plain(),
        target=item.get("targetPort").plain(item.get("port").plain()),
        name=item.get("name").plain(""),
        app_protocol=item.get("appProtocol").plain(""),
        node_port=_node_port(item.get("nodePort")),
    )


def _node_port(cursor: Cursor) -> int | None:
    """0 is none, as a cluster has it."""
    said: int = cursor.plain(0)
    if said and said < LOWEST_NODE_PORT:
        raise cursor.fail("invalid-value", f" is {said}, expected {LOWEST_NODE_PORT} to 32767")
    return said or None


def _network(cursor: Cursor) -> str:
    said: str = cursor.plain()
    if "/" in said:
        try:
            return str(ip_network(said.strip(), strict=False))
        except ValueError:
            pass
    raise cursor.fail("invalid-value", f' is "{said}", expected a network such as 10.0.0.0/8')


def _headless(cursor: Cursor) -> bool:
    said = cursor.plain("")
    if said not in ("", "None"):
        raise cursor.fail(
            "unsupported-value",
            f' is "{said}", supported is None: which address a Service has is not for its manifest to say',
            hint="remove it; its name, which every container can ask for, leads to its address",
        )
    return bool(said)


def _affinity(spec: Cursor) -> int | None:
    said, config = spec.get("sessionAffinity").plain("None"), spec.get("sessionAffinityConfig")
    if said == "ClientIP":
        timeout: int = config.get("clientIP").get("timeoutSeconds").plain(DEFAULT_AFFINITY)
        return timeout
    if not config.node.says_nothing:
        raise config.fail("invalid-value", ": it is there for `sessionAffinity: ClientIP` alone")
    return None


def _chosen(cursor: Cursor, choices: tuple[str, ...]) -> str:
    said: str = cursor.plain("")
    if said and said not in choices:
        raise cursor.fail("invalid-value", f' is "{said}", expected {" or ".join(choices)}')
    return said


def _hosts(cursor: Cursor) -> tuple[str, ...]:
    hosts = tuple(host for host in (part.strip().lower() for part in cursor.plain("").split(",")) if host)
    for host in hosts:
        if not HOST.fullmatch(host):
            raise cursor.fail(
                "invalid-value",
                f': "{host}" is not a host name',
                hint="a name such as hello.localhost, without scheme, port or path; several are parted by commas",
            )
    return tuple(dict.fromkeys(hosts))


def _check_ports(parsed: Service, cursor: Cursor) -> None:
    ports = parsed.ports
    if not ports and not (parsed.headless and not parsed.hosts):
        raise cursor.fail("missing-field", " is missing", hint="add `ports`")
    names = [port.name for port in ports]
    if len(ports) > 1 and "" in names:
        raise cursor.items()[names.index("")].fail(
            "missing-field", ".name is missing: with several ports each has a name"
        )
    if parsed.hosts and len(ports) > 1 and "http" not in names:
        raise cursor.fail(
            "ambiguous-route",
            f": {HOST_ANNOTATION} routes to one port and there are {len(ports)}",
            hint="name the port that speaks HTTP `http`",
        )
    numbers = [port.port for port in ports]
    if len(set(numbers)) < len(numbers):
        raise cursor.fail("invalid-value", ": two ports have the same number")


def _check_type(parsed: Service, spec: Cursor) -> None:
    chosen = [port.node_port for port in parsed.ports if port.node_port]
    if parsed.has_node_ports and parsed.headless:
        raise spec.get("clusterIP").fail("invalid-value", f" may not be None where the type is {parsed.type}")
    if parsed.source_ranges and parsed.type != "LoadBalancer":
        raise spec.get("loadBalancerSourceRanges").fail(
            "invalid-value", f" may only be used when the type is LoadBalancer, and it is {parsed.type}"
        )
    if not parsed.has_node_ports and chosen:
        raise spec.get("ports").fail("invalid-value", f": nodePort may not be used when the type is {parsed.type}")
    if len(set(chosen)) < len(chosen):
        raise spec.get("ports").fail("invalid-value", ": two ports have the same nodePort")
